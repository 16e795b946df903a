"""Correcting a lesion by painting, in the panel and in the Segment Editor."""
