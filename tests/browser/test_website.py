"""The website in a browser: nothing is asked of anyone, and a telephone is wide enough."""

import pytest

from tools import site

pytestmark = pytest.mark.xdist_group("website")  # made once
LESSONS = ("01_gan_intuition", "03_training_loop", "06_painting")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The addresses of the real site's pages, by name."""
    made = site.build(out=tmp_path_factory.mktemp("site") / "site")
    return {path.stem: path.as_uri() for path in made}


def test_no_page_scrolls_sideways_or_asks_for_anything(page, pages):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 390, "height": 844})
    for name, address in pages.items():
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, name
    assert {address.split(":")[0] for address in asked} <= {"file", "data"}


def test_switch_is_remembered(page, pages):
    page.emulate_media(color_scheme="dark")
    page.goto(pages["index"])
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(paper)
    assert dark != light
    page.goto(pages["01_gan_intuition"])
    assert page.evaluate(paper) == light


def test_code_is_copied_as_it_is(page, pages):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(pages["01_gan_intuition"])
    code = page.locator(".cell .code").first
    code.hover()
    code.get_by_role("button", name="Copy").click()
    code.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == code.locator("code").text_content()


@pytest.mark.parametrize("lesson", LESSONS)
def test_contents_lead_and_solutions_open(page, pages, lesson):
    page.goto(pages[lesson])
    last = page.locator(".contents a").last
    last.click()
    heading = page.locator(".prose :is(h1, h2, h3)[id]").last
    page.wait_for_function("window.scrollY > 1000")
    assert heading.text_content().startswith(last.text_content())

    solution = page.locator("details:has-text('Solution')").first
    solution.locator("summary").click()
    assert solution.locator(".code").first.is_visible()


def test_every_figure_is_there(page, pages):
    page.goto(pages["06_painting"])
    pictures = page.locator("img")
    assert pictures.count() > 10
    pictures.evaluate_all("all => all.forEach(one => { one.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every(one => one.naturalWidth > 0)")
    assert pictures.evaluate_all("all => all.every(one => one.alt)")
