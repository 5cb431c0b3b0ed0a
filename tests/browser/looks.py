"""Pictures of every widget, and of lessons, in JupyterLab: light and dark, wide and narrow.

For the eye: a test cannot see a white box in the dark. Widgets are those of a gallery that is run
first; lessons are shown as they are stored.

Usage:
    python tests/browser/looks.py FOLDER [04_conditional_gan.ipynb …]
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import gallery
from serving import browsing, serving
from student import idle, open_lesson, run_all

from tools.notebooks import ROOT

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1400, 600)
MOST = 6  # pictures of a lesson, in each theme and width: of cells with a figure, evenly spread


def dress(page, theme: str, width: int) -> None:
    """A theme, a width, and no list of files beside the lesson."""
    page.set_viewport_size({"width": width, "height": 1600})
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    wear = "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })"
    page.evaluate(wear, THEMES[theme])
    page.wait_for_timeout(1500)


def show(page, cell: int) -> None:
    """Scroll until a cell is there."""
    page.evaluate(
        """async cell => {
            const notebook = jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = cell;
            await notebook.scrollToItem(cell, "start");
        }""",
        cell,
    )
    page.wait_for_timeout(700)


def shoot_widgets(page, address: Callable[[str], str], folder: Path) -> None:
    open_lesson(page, address(gallery.NAME))
    run_all(page, 300)
    for theme in THEMES:
        for width in WIDTHS:
            dress(page, theme, width)
            for i, name in enumerate(gallery.CELLS, 1):
                show(page, i)
                widget = page.locator(f".jp-OutputArea:has(.{name})").first
                widget.scroll_into_view_if_needed()
                widget.screenshot(path=folder / f"{name}-{theme}-{width}.png")


def shoot_lesson(page, address: Callable[[str], str], name: str, folder: Path) -> None:
    page.goto(address(name))
    idle(page, 120)
    figures = page.evaluate(
        """() => jupyterapp.shell.currentWidget.content.model.sharedModel.cells
            .map((cell, i) => JSON.stringify(cell.outputs ?? "").includes("image/png") ? i : -1)
            .filter(i => i >= 0)"""
    )
    for theme in THEMES:
        for width in WIDTHS:
            dress(page, theme, width)
            for cell in figures[:: -(-len(figures) // MOST)]:
                show(page, cell)
                page.screenshot(path=folder / f"{Path(name).stem}-{theme}-{width}-{cell:03}.png")


def main(out: str, *lessons: str) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, browsing() as browser:
        shutil.copytree(ROOT / "notebooks", Path(home) / "notebooks")
        gallery.write(Path(home) / "notebooks")
        with serving(Path(home)) as address:
            for name in (gallery.NAME, *lessons):
                page = browser.new_page()
                if name == gallery.NAME:
                    shoot_widgets(page, address, folder)
                else:
                    shoot_lesson(page, address, name, folder)
                page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
                page.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
