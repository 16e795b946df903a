"""Results in the scene, the section that shows them, and the report."""
