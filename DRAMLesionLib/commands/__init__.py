"""One file per command of ``python -m DRAMLesionLib``; ``cli.py`` registers them."""
