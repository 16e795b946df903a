"""Training of the lung network: its task and its samples."""
