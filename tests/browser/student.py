"""What a student does in JupyterLab, by a browser's page: open a lesson, run it, look and click."""

import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

CELLS = """() => jupyterapp.shell.currentWidget.content.model.sharedModel.cells
    .filter(cell => cell.cell_type === "code")
    .map(cell => ({
        count: cell.execution_count,
        errors: cell.getOutputs().filter(o => o.output_type === "error").map(o => o.evalue),
    }))"""

PIXELS = """async image => {
    // A picture that is exchanged just now cannot be decoded: its successor can.
    for (let tries = 0; ; tries++) {
        try { await image.decode(); break; } catch (error) {
            if (tries === 20) throw error;
            await new Promise(done => setTimeout(done, 100));
        }
    }
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""


class Witness:
    """What a page asks for and complains of, from now on."""

    def __init__(self, page):
        self.requests, self.complaints = [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, said) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def swear(self) -> None:
        """Nothing went to the outside, and nothing was wrong."""
        assert [url for url in self.requests if not inside(url)] == []
        assert len(self.requests) > 10  # they were seen at all
        assert self.complaints == []


def inside(url: str) -> bool:
    """Whether an address stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname == "127.0.0.1"


def open_lesson(page, address: str) -> None:
    """Open a lesson and empty it: what is seen later was made now."""
    page.goto(address)
    idle(page, 90)
    page.evaluate("() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")


def idle(page, seconds: float) -> None:
    """Wait until the status bar shows a kernel, and that it is idle."""
    status = page.locator(".jp-StatusBar-Widget").get_by_text(re.compile(r"Python 3.*\| Idle"))
    status.wait_for(timeout=seconds * 1000)


def run_all(page, seconds: float) -> float:
    """Run every cell, without an error and in their order; return the seconds it took."""
    start = time.monotonic()
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    while time.monotonic() < start + seconds:
        page.wait_for_timeout(500)
        cells = page.evaluate(CELLS)
        if all(cell["count"] for cell in cells):
            idle(page, seconds)
            cells = page.evaluate(CELLS)
            assert [cell["errors"] for cell in cells if cell["errors"]] == []
            assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
            return time.monotonic() - start
    pytest.fail(f"the lesson did not finish in {seconds} s: {cells}")


def pixels(page, selector: str) -> str:
    """The picture that is seen there now, as a data URL."""
    return page.locator(selector).first.evaluate(PIXELS)


def picture(page, selector: str, wanted: Callable[[str], bool], seconds: float = 15) -> str:
    """A widget's picture, as soon as it is one that is wanted."""
    end = time.monotonic() + seconds
    while not wanted(seen := pixels(page, selector)):
        assert time.monotonic() < end, f"{selector} is not what it should become"
        page.wait_for_timeout(100)
    return seen


def turn(page, handle: str, key: str = "ArrowRight") -> Callable[[], None]:
    """By the keyboard alone: into focus, and one step on."""

    def act() -> None:
        page.locator(handle).first.focus()
        page.keyboard.press(key)

    return act
