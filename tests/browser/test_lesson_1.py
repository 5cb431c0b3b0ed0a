"""Lesson 1 as a student meets it: in JupyterLab, in a real browser, without a network."""

import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

LESSON = "01_gan_intuition.ipynb"
SECONDS = 5  # for which the playground's frames are counted
FEWEST_FRAMES = 5  # a second: a loaded two-core machine; an idle one is well above 15

CELLS = """() => jupyterapp.shell.currentWidget.content.model.sharedModel.cells
    .filter(cell => cell.cell_type === "code")
    .map(cell => ({
        count: cell.execution_count,
        errors: cell.getOutputs().filter(o => o.output_type === "error").map(o => o.evalue),
    }))"""

# Frames that were painted with a new picture: loads of the image, at most one a screen refresh.
FRAMES = """async ([selector, seconds]) => {
    const image = document.querySelector(selector);
    let fresh = false, frames = 0, running = true;
    const note = () => { fresh = true; };
    image.addEventListener("load", note);
    const count = () => {
        if (fresh) { frames += 1; fresh = false; }
        if (running) requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    await new Promise(done => setTimeout(done, seconds * 1000));
    running = false;
    image.removeEventListener("load", note);
    return frames / seconds;
}"""

PIXELS = """async selector => {
    const image = document.querySelector(selector);
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""

PICTURE = ".gan-playground-picture"


def idle(page, seconds: float) -> None:
    """Wait until the status bar shows a kernel, and that it is idle."""
    status = page.locator(".jp-StatusBar-Widget").get_by_text(re.compile(r"Python 3.*\| Idle"))
    status.wait_for(timeout=seconds * 1000)


def run_all(page, seconds: float) -> list[dict]:
    """Run every cell; return each code cell's execution count and errors."""
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page.wait_for_timeout(500)
        cells = page.evaluate(CELLS)
        if all(cell["count"] for cell in cells):
            idle(page, seconds)
            return page.evaluate(CELLS)
    pytest.fail(f"lesson 1 did not finish in {seconds} s: {cells}")


def picture(page, wanted: Callable[[str], bool], seconds: float = 15) -> str:
    """The playground's picture, as soon as it is the one that is wanted."""
    end = time.monotonic() + seconds
    while not wanted(pixels := page.evaluate(PIXELS, PICTURE)):
        assert time.monotonic() < end, "the playground's picture is not what it should become"
        page.wait_for_timeout(100)
    return pixels


def test_playground_runs_in_jupyterlab(page, lab, report):
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(lab.format(LESSON))
    idle(page, 90)
    page.evaluate("() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    cells = run_all(page, 180)
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell["errors"] for cell in cells if cell["errors"]] == []

    playground = page.locator(".gan-playground").first
    play, step, reset = (playground.locator(f".gan-{name}") for name in ("play", "step", "reset"))
    playground.scroll_into_view_if_needed()
    start = page.evaluate(PIXELS, PICTURE)

    play.locator("button").first.click()
    page.wait_for_timeout(5000)  # the page is slower until its code is warm
    frames = page.evaluate(FRAMES, [PICTURE, SECONDS])
    report.append(f"Lesson 1's playground in JupyterLab: {frames:.1f} frames/s")
    assert frames >= FEWEST_FRAMES
    play.locator("button").first.click()  # pause
    page.wait_for_timeout(1000)
    paused = picture(page, lambda now: now != start)
    page.wait_for_timeout(500)
    assert page.evaluate(PIXELS, PICTURE) == paused

    def one_round_from_the_start() -> str:
        reset.click()
        picture(page, lambda now: now == start)
        step.click()
        return picture(page, lambda now: now != start)

    before = one_round_from_the_start()
    assert one_round_from_the_start() == before
    handle = playground.locator(".gan-lr-d .noUi-handle")
    handle.focus()
    for _ in range(5):
        handle.press("ArrowRight")
    assert one_round_from_the_start() != before, "the slider of D's rate changes nothing"

    assert playground.locator(".gan-error").inner_text() == ""
    assert [url for url in requests if not inside(url)] == []
    assert len(requests) > 10  # they were seen at all
    assert complaints == []


def inside(url: str) -> bool:
    """Whether an address stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname == "127.0.0.1"
