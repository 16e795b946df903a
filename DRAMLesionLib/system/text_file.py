"""JSON, YAML and CSV that people write or keep: read, or refused with one line, whatever they hold."""

import json
import re
from pathlib import Path
from typing import Any

from DRAMLesionLib.system.errors import InputError

LONGEST_REASON = 300
"""Characters of a parser's complaint that are shown."""


def read_json(path: str | Path, what: str, remedy: str) -> Any:
    """The values of a JSON file.

    Args:
        path: UTF-8, with or without a byte-order mark.
        what: What the file should be, for errors: ``"a data list"``.
        remedy: What to do, for errors.

    Raises:
        InputError: It can't be read, or is no JSON.
    """
    text = read_text(path, what, remedy)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers too long to be, and brackets too deep
        raise _not_such(path, what, remedy, error) from error


def read_yaml(path: str | Path, what: str, remedy: str) -> Any:
    """The values of a YAML file with one document, plain values only; arguments and errors as :func:`read_json`."""
    import yaml

    text = read_text(path, what, remedy)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also dates and numbers that can't be
        raise _not_such(path, what, remedy, error) from error


def read_text(path: str | Path, what: str, remedy: str) -> str:
    """The text of a UTF-8 file, without a byte-order mark; arguments and errors as :func:`read_json`."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: {remedy}") from error
    except ValueError as error:  # no UTF-8, or a null byte in the path
        raise _not_such(path, what, remedy, error) from error


def csv_delimiter(first_line: str) -> str:
    """Which of comma, semicolon and tab separates the columns of a table: the one that its first line has most of.

    Args:
        first_line: The table's first line; what stands in double quotes is not counted.
    """
    return max(",;\t", key=re.sub('"[^"]*"', "", first_line).count)


def _not_such(path: str | Path, what: str, remedy: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
    return InputError(f"{path}: not {what}: {reason}: {remedy}")
