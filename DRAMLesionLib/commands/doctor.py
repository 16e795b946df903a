"""The command ``doctor``."""

from DRAMLesionLib.commands.console import Reporter
from DRAMLesionLib.commands.options import Debug, Json


def doctor(json: Json = False, debug: Debug = False) -> None:
    """Show what is installed, the devices, their memory, and the models."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.doctor import examine, print_examination

        examination = examine()
        reporter.result(examination)
        if not json:
            print_examination(examination, reporter.console)
