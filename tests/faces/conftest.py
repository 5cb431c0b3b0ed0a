"""What the tests of the faces share: an empty cache each, and the bundled faces."""

from pathlib import Path

import pytest

from course_lib import faces


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def bundled() -> faces.Faces:
    return faces.load("all")


@pytest.fixture(scope="session")
def held_out() -> faces.Faces:
    return faces.load("held-out")
