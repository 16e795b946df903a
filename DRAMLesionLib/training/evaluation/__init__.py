"""Masks against reference masks, and the study that compares all methods."""
