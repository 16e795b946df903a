"""``python -m DRAMLesionLib``: the command line."""

from DRAMLesionLib.cli import main

if __name__ == "__main__":
    main()
