"""Training models from the panel, in a process that may outlive Slicer."""
