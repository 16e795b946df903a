"""Recipes: what a training does, read and checked; the settings of each kind of training."""
