"""All cases, and a table of their kinds: ``python Testing/torture/bad_input/corpus.py``."""

import importlib
from collections import Counter

from harness import Case

TABLES = (
    "nifti",
    "nrrd",
    "dicom",
    "dicom_axes",
    "values",
    "places",
    "lobes",
    "hospital",
    "refine",
    "text",
    "models",
    "batch",
    "panel",
)
"""The modules ``cases_*.py``; each has a ``TABLE``, or ``CASES`` of several."""


def all_cases() -> list[Case]:
    """Every case, in the order of the tables."""
    modules = [importlib.import_module(f"cases_{name}") for name in TABLES]
    return [case for module in modules for case in getattr(module, "CASES", None) or module.TABLE.cases]


def main() -> None:
    cases = all_cases()
    for kind, count in Counter(case.kind for case in cases).items():
        short = sum(case.short for case in cases if case.kind == kind)
        print(f"{count:4d} ({short:2d} in the short run)  {kind}")
    print(f"{len(cases):4d} ({sum(case.short for case in cases):2d})  in all")


if __name__ == "__main__":
    main()
