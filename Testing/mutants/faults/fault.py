"""What a fault is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A change of one place in the code.

    Attributes:
        name: What is then wrong.
        file: The file, from the repository's root.
        before: The text that is there, once.
        after: The text that is put there.
        tests: The test file, or test, that has to fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str
