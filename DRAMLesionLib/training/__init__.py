"""Training: recipes, the engine with its checkpoints, and below it the data, the tasks and the evaluation."""
