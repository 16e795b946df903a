"""What nobody had to draw: disease pasted into lungs without lesion, and the scanners that show them."""
