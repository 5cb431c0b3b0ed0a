"""The website: every lesson is there, in order, links hold, nothing comes from elsewhere."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import notebooks, site

LOADS = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loads, self.ids = [], [], []
        self.alts = {}
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag in LOADS:
            self.loads.append(given[LOADS[tag]])
        if tag == "img":
            self.alts[unquote(given["src"])] = given["alt"]


def drawn(size=(40, 20)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def figure():
    return new_output("display_data", {"image/png": drawn(), "text/plain": "<Figure>"})


def header(number: int, time: str) -> str:
    badge = "[![Open in Colab](figures/colab-badge.svg)](https://colab.research.google.com/x)"
    return f"# {number} · Title {number}\n\n{badge} · ← [README](../README.md)\n\n**Time** {time}\n"


def lesson_1() -> list:
    solution = "<details><summary>Solution</summary>\n\n```python\nanswer = 42\n```\n\n</details>"
    source = "```python\nclass Generator:\n    pass\n```"
    return [
        new_markdown_cell(header(1, "45 minutes to read and play, 40 for the exercises; quick")),
        new_code_cell("import torch", metadata={"tags": ["setup"]}),
        new_markdown_cell("## From 4×4 to 8×8: is it?\n\nA sum, $x^2 < 3$, and\n\n$$\\sum_i y$$"),
        new_code_cell("if 1 < 2:\n    plot()", outputs=[figure()]),
        new_markdown_cell('*Two **bold** dots & a `"line"`.* More.\n\n### Inside\n\n' + solution),
        new_code_cell("x", outputs=[new_output("stream", text="\x1b[31m1 < 2\x1b[0m\n")]),
        new_code_cell("s", outputs=[new_output("display_data", {"text/markdown": source})]),
        new_markdown_cell("[next](02_two.ipynb#Its-end), [top](#From-4×4-to-8×8:-is-it?)"),
        new_markdown_cell("[table](../benchmarks/README.md#part)\n\n|a|b|\n|-|-|\n|1|2|"),
    ]


def lesson_2() -> list:
    return [
        new_markdown_cell(header(2, "about 25 minutes to read; a minute to run")),
        new_code_cell("show()", outputs=[figure(), figure()]),
        new_markdown_cell("## Its end\n\n[before](01_one.ipynb)\n\n# Second sitting\n\n## Its end"),
    ]


README = """\
# A course

It opens with [a part](#without), and

| You say | It paints |
|---|---|
| *red* | ![A red badge](notebooks/figures/colab-badge.svg) |

## Start

```sh
make lab
```

| Lesson | Minutes | You build | |
|---|---|---|---|
| [1 · Title 1](notebooks/01_one.ipynb) | 45 + 40 | a `forger` | badge |
| [2 · Title 2](notebooks/02_two.ipynb) | 25 | the rest | badge |
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    course = tmp_path_factory.mktemp("course")
    figures = course / "notebooks" / "figures"
    figures.mkdir(parents=True)
    shutil.copy(notebooks.ROOT / "notebooks" / "figures" / "colab-badge.svg", figures)
    shutil.copy(notebooks.ROOT / "pyproject.toml", course)
    (course / "README.md").write_text(README, encoding="utf-8")
    for name, cells in (("01_one", lesson_1()), ("02_two", lesson_2())):
        nbformat.write(new_notebook(cells=cells), course / "notebooks" / f"{name}.ipynb")
    return course


@pytest.fixture(scope="module")
def pages(course) -> dict[str, Page]:
    return {path.name: Page(path) for path in site.build(course, course / "site")}


def test_every_lesson_is_on_the_first_page(pages):
    assert list(pages) == ["index.html", "01_one.html", "02_two.html"]
    first = pages["index.html"]
    assert {"01_one.html", "02_two.html"} <= set(first.links)
    for words in ("45 + 40 min", "25 min", "a <code>forger</code>", "A red badge"):
        assert words in first.html
    assert "make lab" in site.plain(first.html)


def test_links_and_anchors_hold(pages, course):
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            target, _, part = link.partition("#")
            if target.startswith("https:"):
                continue
            if target.endswith((".html", "")) and not target.endswith(".png"):
                assert not part or unquote(part) in pages[unquote(target) or name].ids, link
            else:
                assert (course / "site" / unquote(target)).is_file(), link


def test_nothing_is_loaded_from_elsewhere(pages, course):
    for page in pages.values():
        assert page.loads
        for address in page.loads:
            assert address == "data:," or (course / "site" / unquote(address)).is_file(), address
        assert "@import" not in page.html
    style = (course / "site" / "site.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:", style)
    assert not re.search(r"fetch\(|import\(|https?:", (course / "site" / "site.js").read_text())


def test_next_and_previous_follow_the_order(pages):
    def neighbours(page):
        found = re.findall(r'class="(before|after)"[^>]*href="([^"]+)"', pages[page].html)
        return dict(found)

    assert neighbours("01_one.html") == {"before": "index.html", "after": "02_two.html"}
    assert neighbours("02_two.html") == {"before": "01_one.html", "after": "index.html"}


def test_table_of_contents_has_the_parts_in_order(pages):
    contents = re.search(
        r'<nav aria-label="On this page">.*?</nav>', pages["01_one.html"].html, re.S
    )
    assert re.findall(r'href="#([^"]+)">([^<]+)<', contents[0]) == [
        ("From-4%C3%974-to-8%C3%978%3A-is-it%3F", "From 4×4 to 8×8: is it?"),
        ("Inside", "Inside"),
    ]
    assert pages["02_two.html"].ids[-3:] == ["Its-end", "Second-sitting", "Its-end~2"]
    assert '<li class="sitting"><a href="#Second-sitting">' in pages["02_two.html"].html


def test_a_figure_is_described_by_the_line_under_it(pages):
    assert pages["01_one.html"].alts == {"figures/01_one-1.png": 'Two bold dots & a "line".'}
    assert all(pages["02_two.html"].alts.values())  # some words, where there is no such line


def test_cells_are_shown_as_they_are_stored(pages):
    page = pages["01_one.html"].html
    assert '<pre class="out" tabindex="0">1 &lt; 2</pre>' in page
    assert '<span class="k">class</span>' in page  # the library's source, coloured
    assert "<details><summary>Solution</summary>" in page
    assert '<details class="setup"><summary>Setup</summary>' in page
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in page
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in page
    assert not re.search(r"\$|colab-badge", page)
    assert "/blob/main/benchmarks/README.md#part" in page


def test_build_touches_no_folder_that_is_not_a_site(course, tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(SystemExit, match="something else"):
        site.build(course, tmp_path)
    assert (tmp_path / "precious.txt").exists()


def test_a_lesson_that_the_readme_lacks_is_an_error(course, tmp_path):
    other = shutil.copytree(course, tmp_path / "course", ignore=shutil.ignore_patterns("site"))
    shorter = README.replace("notebooks/02_two.ipynb", "notebooks/02_other.ipynb")
    (other / "README.md").write_text(shorter, encoding="utf-8")
    with pytest.raises(SystemExit, match="lacks 02_two"):
        site.build(other, tmp_path / "site")


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("**Time**: 45 minutes to read and play, 40 for the exercises; 30 seconds", (45, 40)),
        ("**Time** about 50 minutes to read and 30 for the\nexercises; a minute", (50, 30)),
        ("**Time** two sittings: 50 minutes and\n60, of which 45 for the exercises. Ten", (65, 45)),
        ("**Time**: about 50 minutes to read, and 34 for the four exercises (8, 26)", (50, 34)),
        ("**Time** about 45 minutes to read; 40 seconds.\n\n20 for the exercises", (45, 0)),
    ],
)
def test_minutes_are_read_from_the_header(line, taken):
    assert site.minutes(f"# 1 · Title\n\n{line}") == taken


def test_a_header_without_minutes_is_an_error():
    with pytest.raises(SystemExit, match="No minutes to read in '# 1 · Title'"):
        site.minutes("# 1 · Title\n\n**Time** an hour")


def test_readme_takes_its_minutes_from_the_lessons():
    readme = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    said = {name: minutes for _, name, minutes, _ in site.ROW.findall(readme)}
    headers = {
        path.stem: nbformat.read(path, as_version=4).cells[0].source for path in notebooks.lessons()
    }
    assert said == {name: str(site.minutes(header)) for name, header in headers.items()}
    assert set(site.COVERS) == set(headers)
