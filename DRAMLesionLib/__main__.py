"""``python -m DRAMLesionLib``: the command line."""

import sys


def _start() -> None:
    from DRAMLesionLib.system.package import leave_current_folder

    leave_current_folder()
    try:
        from DRAMLesionLib.cli import main
    except ModuleNotFoundError as error:
        from DRAMLesionLib.system.interrupted_install import interrupted
        from DRAMLesionLib.system.requirements import Environment, state_of_packages

        # Before anything is installed there is no command line, either: say what doctor would.
        lines = state_of_packages(Environment.here(), interrupted())
        if not lines:
            raise
        print(*lines, f"({error})", sep="\n", file=sys.stderr)
        sys.exit(2)
    main()


if __name__ == "__main__":
    _start()
