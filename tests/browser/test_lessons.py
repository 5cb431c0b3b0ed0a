"""Every lesson in JupyterLab, in a real browser, without a network; every widget used once."""

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gallery
import ipywidgets
import nbformat
import pytest
import test_playground
from student import Witness, open_lesson, picture, run_all, turn

from course_lib import widgets
from tools.notebooks import ROOT

# Two are run at a time: the long ones first, so that none is left over at the end.
QUICK = ("02_generator_discriminator.ipynb", "08_cyclegan.ipynb")
LONGEST = 400  # seconds for a lesson, beside a browser and on two busy cores


def changed(page, selector: str, act: Callable[[], None]) -> None:
    """Something is done, and the picture is another one than before."""
    page.locator(selector).first.scroll_into_view_if_needed()
    before = picture(page, selector, bool)
    act()
    picture(page, selector, lambda now: now != before, 60)


def film(page) -> None:
    for i in range(page.locator(".film").count()):
        one = f":nth-match(.film, {i + 1})"
        at_end = page.locator(f"{one} .noUi-handle").first
        at_end.focus()
        page.keyboard.press("Home")
        page.wait_for_timeout(500)
        changed(page, f"{one} .film-picture", turn(page, f"{one} .noUi-handle", "End"))
        changed(page, f"{one} .film-picture", turn(page, f"{one} .noUi-handle", "Home"))


def easel(page) -> None:
    def wish() -> None:
        page.locator(".easel-prompt input").first.fill("green hair, red eyes")
        page.keyboard.press("Enter")

    changed(page, ".easel-pictures img", wish)
    changed(page, ".easel-pictures img", turn(page, ".easel-seed input", "ArrowUp"))


def duel(page) -> None:
    def train() -> None:
        page.locator(".duel-play button").first.click()

    changed(page, ".duel-picture", train)
    page.locator(".duel-play button").first.click()


def verdicts(page) -> None:
    marks = page.locator(".verdicts-mark")
    for i in range(marks.count()):
        marks.nth(i).get_by_role("button", name="✗").click()
    revealed = page.locator(".verdicts-reveal").first
    revealed.click()
    page.get_by_text("The article: ").first.wait_for(timeout=5000)
    assert "0 of 4" in page.locator(".verdicts-tally").first.inner_text()


def sketchpad(page) -> None:
    def draw() -> None:
        page.locator(".sketchpad-palette").nth(9).click()
        for cell in (100, 101, 116, 117):
            page.locator(".sketchpad-cells").nth(cell).click()
        page.locator(".sketchpad-button").click()

    changed(page, ".sketchpad-pictures img", draw)


class Use(NamedTuple):
    """How a widget is found in a page, made in a lesson, and used."""

    selector: str
    makers: tuple[str, ...]
    act: Callable[[Any], None]


USES = {
    widgets.Scrubber: Use(".film", ("Scrubber", "film"), film),
    widgets.Easel: Use(".easel", ("Easel",), easel),
    widgets.Duel: Use(".duel", ("Duel",), duel),
    widgets.VerdictSheet: Use(".verdicts", ("VerdictSheet",), verdicts),
    widgets.Sketchpad: Use(".sketchpad", ("Sketchpad",), sketchpad),
}
PLAYED = {widgets.Playground}  # by test_playground, which runs the whole of lesson 1
ALL = sorted(path.name for path in (ROOT / "notebooks").glob("0*.ipynb"))
LESSONS = sorted(  # every worker must have the same order
    {*ALL} - {test_playground.LESSON}, key=lambda name: (name in QUICK, name)
)


def used_in(lesson: str) -> list[Use]:
    """The widgets that a lesson's code makes."""
    cells = nbformat.read(ROOT / "notebooks" / lesson, 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return [
        use for use in USES.values() if re.search(rf"\bwidgets\.({'|'.join(use.makers)})\(", code)
    ]


def test_every_widget_is_used_in_a_lesson():
    public = {getattr(widgets, name) for name in widgets.__all__}
    kinds = {one for one in public if isinstance(one, type) and issubclass(one, ipywidgets.Widget)}
    assert kinds == USES.keys() | PLAYED
    assert {use for lesson in LESSONS for use in used_in(lesson)} == {*USES.values()}
    assert set(gallery.CELLS) == {use.selector[1:] for use in USES.values()} | {"gan-playground"}


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_and_its_widgets_answer(page, lab, report, lesson):
    start = time.monotonic()
    witness = Witness(page)
    open_lesson(page, lab(lesson))
    seconds = run_all(page, LONGEST)
    uses = used_in(lesson)
    for use in uses:
        use.act(page)
    words = f", then {', '.join(use.selector[1:] for use in uses)}" if uses else ""
    whole = time.monotonic() - start
    report(f"{lesson} in JupyterLab: run in {seconds:.0f} s{words}; {whole:.0f} s in all")
    witness.swear()
