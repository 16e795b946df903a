"""The world that all odd inputs start from, and which of them run."""

from pathlib import Path

import pytest
from world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for a case."""
    made = tmp_path / "case"
    made.mkdir()
    return made
