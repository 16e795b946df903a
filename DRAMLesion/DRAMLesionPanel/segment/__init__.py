"""Choosing the CT and running the segmentation."""
