"""Training of the network of the lobes' amounts: its task and its samples."""
