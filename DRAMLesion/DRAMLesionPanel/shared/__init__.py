"""What the sections share: child processes, long work in steps, the choices kept in the scene."""
