"""DICOM folders: which series are there, their slices in order, tilted gantries."""
