"""A lesion's segment of the scene under correction: strokes told from other changes, sliders, undo and redo."""
