"""Pictures of the pages: each is used, each that is used is there, and a moving one is small."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = {".png", ".gif", ".webp", ".svg", ".jpg"}
MOST_BYTES = 2_000_000
PAGES = [
    *REPOSITORY.glob("*.md"),
    *(REPOSITORY / "Documentation").glob("*.md"),
    *(REPOSITORY / "Training").glob("*.md"),
    *(REPOSITORY / "Testing" / "benchmarks").glob("*.md"),
]
PICTURES = sorted(path for path in (REPOSITORY / "Documentation").rglob("*") if path.suffix in KINDS)


def shown_in(page: Path) -> set[Path]:
    """The pictures that a page shows."""
    names = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return {(page.parent / name).resolve() for name in names if "://" not in name}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_each_picture_is_shown_in_a_page_and_small(picture: Path) -> None:
    assert any(picture in shown_in(page) for page in PAGES), "show it in a page, or delete it"
    assert picture.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_each_picture_of_a_page_is_there(page: Path) -> None:
    assert [path for path in shown_in(page) if not path.is_file()] == []
