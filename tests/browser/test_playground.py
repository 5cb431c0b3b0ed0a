"""Lesson 1 as a student meets it: in JupyterLab, in a real browser, without a network."""

from student import Witness, open_lesson, picture, pixels, run_all

LESSON = "01_gan_intuition.ipynb"
SECONDS = 5  # for which the playground's frames are counted
FEWEST_FRAMES = 5  # a second: a loaded two-core machine; an idle one is well above 15

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

PICTURE = ".gan-playground-picture"


def test_playground_runs_in_jupyterlab(page, lab, report):
    witness = Witness(page)
    open_lesson(page, lab(LESSON))
    seconds = run_all(page, 180)

    playground = page.locator(".gan-playground").first
    play, step, reset = (playground.locator(f".gan-{name}") for name in ("play", "step", "reset"))
    playground.scroll_into_view_if_needed()
    start = pixels(page, PICTURE)

    play.locator("button").first.click()
    page.wait_for_timeout(5000)  # the page is slower until its code is warm
    frames = page.evaluate(FRAMES, [PICTURE, SECONDS])
    report(f"{LESSON} in JupyterLab: run in {seconds:.0f} s; its playground: {frames:.1f} frames/s")
    assert frames >= FEWEST_FRAMES
    play.locator("button").first.click()  # pause
    page.wait_for_timeout(1000)
    paused = picture(page, PICTURE, lambda now: now != start)
    page.wait_for_timeout(500)
    assert pixels(page, PICTURE) == paused

    def one_round_from_the_start() -> str:
        reset.click()
        picture(page, PICTURE, lambda now: now == start)
        step.click()
        return picture(page, PICTURE, lambda now: now != start)

    before = one_round_from_the_start()
    assert one_round_from_the_start() == before
    handle = playground.locator(".gan-lr-d .noUi-handle")
    handle.focus()
    for _ in range(5):
        handle.press("ArrowRight")
    assert one_round_from_the_start() != before, "the slider of D's rate changes nothing"

    assert playground.locator(".gan-error").inner_text() == ""
    witness.swear()
