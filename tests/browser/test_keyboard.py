"""Every control of every widget without a mouse: Tab reaches it, it is seen there, keys move it."""

from collections.abc import Iterator

import gallery
import pytest
from student import Witness, open_lesson, picture, run_all, turn

pytestmark = pytest.mark.xdist_group("gallery")  # one kernel for all of it
CONTROLS = "button:enabled, input:enabled, select:enabled, .noUi-handle, .widget-readout"
# Marks the controls that are seen, and notes how each looks without focus and when it is clicked.
MARK = """([name, controls]) => {
    document.activeElement.blur();  // it may be the first of these, after Tab has left another
    const look = one => { const s = getComputedStyle(one); return s.outline + s.boxShadow; };
    const seen = [...document.querySelector("." + name).querySelectorAll(controls)]
        .filter(one => one.offsetParent);
    seen.forEach((one, i) => {
        one.dataset.stop = i;
        one.dataset.look = look(one);
        one.addEventListener("click", () => { one.dataset.clicked = "yes"; });
    });
    return seen.length;
}"""
STOP = """name => {
    const one = document.activeElement;
    const style = getComputedStyle(one);
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return {
        inside: Boolean(one.closest("." + name)),
        stop: one.dataset.stop,
        ring: ring && style.outline + style.boxShadow !== one.dataset.look,
        words: one.outerHTML.slice(0, 200),
    };
}"""
STATE = """one => [
    one.getAttribute("aria-valuenow"), one.value, one.checked, one.dataset.clicked, one.innerText,
].join()"""


@pytest.fixture(scope="module")
def shown(browser, lab) -> Iterator:
    """The gallery, run."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    witness = Witness(page)
    open_lesson(page, lab(gallery.NAME))
    run_all(page, 300)
    yield page
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()
    witness.swear()


def stops(page, name: str) -> list[dict]:
    """Where Tab stops in a widget, from its cell on."""
    cell = page.locator(f".jp-Cell:has(.{name})").first
    cell.scroll_into_view_if_needed()
    cell.locator(".jp-InputPrompt").click()
    found = []
    for _ in range(500):
        page.keyboard.press("Tab")
        here = page.evaluate(STOP, name)
        if here["inside"]:
            found.append(here)
        elif found:
            break
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", gallery.CELLS)
def test_tab_reaches_every_control_and_it_is_seen(shown, name):
    number = shown.evaluate(MARK, [name, CONTROLS])
    found = stops(shown, name)
    assert [int(one["stop"]) for one in found] == list(range(number))
    assert [one["words"] for one in found if not one["ring"]] == []


def key_for(control) -> str:
    kind = control.evaluate("one => one.type ?? one.getAttribute('role')")
    if kind == "slider":
        now, most = (control.get_attribute(f"aria-value{name}") for name in ("now", "max"))
        return "ArrowLeft" if float(now) == float(most) else "ArrowRight"
    if kind == "select-one":
        last = control.evaluate("one => one.selectedIndex === one.length - 1")
        return "ArrowUp" if last else "ArrowDown"
    return {"number": "ArrowUp", "text": "x"}.get(kind, "Space")


@pytest.mark.slow
@pytest.mark.parametrize("name", gallery.CELLS)
def test_every_control_moves_by_a_key(shown, name):
    number = shown.evaluate(MARK, [name, CONTROLS])
    for i in range(number):
        control = shown.locator(f".{name} [data-stop='{i}']")
        kind = control.get_attribute("class") or ""
        if "widget-readout" in kind or ("sketchpad-cells" in kind and i % 16):
            continue  # typed into; a cell is like its neighbour
        before = control.evaluate(STATE)
        control.focus()
        key = key_for(control)
        shown.keyboard.press(key)
        shown.wait_for_function(f"([one, was]) => ({STATE})(one) !== was",
            arg=[control.element_handle(), before], timeout=10_000,
        )  # fmt: skip


ACTS = [  # what is focused, the key, and the picture that becomes another one
    (".gan-step", "Enter", ".gan-playground-picture"),
    (".gan-reset", "Enter", ".gan-playground-picture"),
    (".film .noUi-handle", "Home", ".film-picture"),
    (".easel-seed input", "ArrowUp", ".easel-pictures img"),
    (".duel-play button", "Enter", ".duel-picture"),
    (".sketchpad-button", "Enter", ".sketchpad-pictures img"),
]


@pytest.mark.slow
def test_keys_have_their_effect(shown):
    turn(shown, ".sketchpad-palette:nth-of-type(2)", "Space")()
    turn(shown, ".sketchpad-cells", "Enter")()
    for selector, key, seen in ACTS:
        shown.locator(seen).first.scroll_into_view_if_needed()
        before = picture(shown, seen, bool)
        turn(shown, selector, key)()
        picture(shown, seen, lambda now, before=before: now != before, 30)
    turn(shown, ".duel-play button", "Enter")()
    tally = shown.locator(".verdicts-tally").first
    before = tally.inner_text()
    turn(shown, ".verdicts-mark button", "Space")()
    shown.wait_for_function("([one, was]) => one.innerText !== was",
        arg=[tally.element_handle(), before], timeout=10_000,
    )  # fmt: skip


@pytest.mark.slow
def test_points_are_drawn_by_keys(shown):
    turn(shown, ".gan-target select", "End")()
    cells = shown.locator(".gan-playground .gan-cell")
    cells.first.wait_for(timeout=20_000)
    shown.evaluate(MARK, ["gan-board", CONTROLS])
    found = stops(shown, "gan-board")
    assert len(found) == 122  # 121 cells, and “Clear”
    assert all(one["ring"] for one in found)
    before = picture(shown, ".gan-playground-picture", bool)
    turn(shown, ".gan-playground .gan-cell", "Space")()
    picture(shown, ".gan-playground-picture", lambda now: now != before, 30)
