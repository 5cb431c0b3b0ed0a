"""Every lesson in JupyterLab, in a real browser, without a network; every widget used once."""

from collections.abc import Callable

import pytest
from student import Witness, open_lesson, picture, run_all

from tools.notebooks import ROOT

LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("0*.ipynb"))
LONGEST = 400  # seconds for a lesson, beside a browser and on two busy cores


def changed(page, selector: str, act: Callable[[], None]) -> None:
    """Something is done, and the picture is another one than before."""
    page.locator(selector).first.scroll_into_view_if_needed()
    before = picture(page, selector, bool)
    act()
    picture(page, selector, lambda now: now != before, 60)


def turn(page, handle: str, key: str = "ArrowRight") -> Callable[[], None]:
    """By the keyboard alone: into focus, and one step on."""

    def act() -> None:
        page.locator(handle).first.focus()
        page.keyboard.press(key)

    return act


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


WIDGETS = {  # the playground has a test of its own
    ".film": film,
    ".easel": easel,
    ".duel": duel,
    ".verdicts": verdicts,
    ".sketchpad": sketchpad,
}


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_and_its_widgets_answer(page, lab, report, lesson):
    witness = Witness(page)
    open_lesson(page, lab.format(lesson))
    seconds = run_all(page, LONGEST)
    used = [name for name in WIDGETS if page.locator(name).count()]
    for name in used:
        WIDGETS[name](page)
    words = f" · {', '.join(name[1:] for name in used)}" if used else ""
    report.append(f"{lesson} in JupyterLab: {seconds:.0f} s{words}")
    witness.swear()
