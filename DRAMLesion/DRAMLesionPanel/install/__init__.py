"""Installing the Python packages that Slicer does not bring."""
