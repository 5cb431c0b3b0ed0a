"""A JupyterLab and a browser for each of pytest-xdist's workers, and the figures they measured."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial

import gallery
import pytest
from serving import BROWSERS, browsing, chromium, serving

from tools.notebooks import ROOT

MEASURED = "measured"


def pytest_terminal_summary(terminalreporter) -> None:
    """The figures; a worker's reach the controller as properties of its tests."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, line in getattr(report, "user_properties", ()):
                if name == MEASURED:
                    terminalreporter.write_line(line)


@pytest.fixture
def report(record_property) -> Callable[[str], None]:
    """Takes a line for the end of pytest's output."""
    return partial(record_property, MEASURED)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """The system's Chromium, which can reach this machine and nothing else."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not chromium():
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser) -> Iterator:
    """A page of its own; the kernel that it leaves behind is stopped: it holds a gigabyte."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    yield page
    page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    page.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Callable[[str], str]]:
    """What gives a lesson's address, in a JupyterLab with a copy of the lessons."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    gallery.write(home / "notebooks")
    with serving(home) as address:
        yield address
