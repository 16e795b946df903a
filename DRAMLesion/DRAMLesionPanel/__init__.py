"""The parts of the DRAMLesion panel: parameters, runs in child processes, results, correction, and their widgets."""
