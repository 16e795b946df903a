"""Training: data lists, lobe samples, losses and the engine that recipes in ``Training/`` drive."""
