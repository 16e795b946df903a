"""Errors that a person can act on."""


class InputError(ValueError):
    """Something the user gave can't be used.

    The message is one line that names the file, what is wrong with it and what to do. The command line prints it
    without a traceback and ends with exit code 2; the panel shows it as it is.
    """
