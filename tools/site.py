"""Every lesson as a page of a website: made offline, and it asks no other server for anything.

The outputs are those stored in the notebooks, so no page needs a kernel. Words and minutes of the
first page come from README.md and from the lessons' headers.

Usage:
    python -m tools.site [--out site]
"""

import argparse
import base64
import html
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jinja2
import latex2mathml.converter
import mistune
import nbformat
import pygments
from PIL import Image
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from tools.notebooks import ROOT, address, lessons

LOOK = Path(__file__).with_name("site")  # templates, style and script
STATIC = ("site.css", "site.js")
# The picture of each lesson's card: a file, or the number of a figure in the lesson (from 1).
# Without one it is the lesson's largest.
COVERS: dict[str, str | int] = {
    "01_gan_intuition": 7,
    "02_generator_discriminator": 1,
    "03_training_loop": "notebooks/figures/faces_generated.png",
    "04_conditional_gan": "notebooks/figures/faces_told.png",
    "05a_diffusion": 11,
    "05b_latent_diffusion": 12,
    "05c_pipeline": "notebooks/figures/faces_chinese.png",
    "06_painting": 14,
    "07_create_or_copy": "data/figures/halves.png",
    "08_cyclegan": "benchmarks/figures/cyclegan.png",
}
CAPTION = re.compile(r"\*(?!\*)((?:\*\*.+?\*\*|[^*])+)\*(?!\*)", re.DOTALL)
TAG = re.compile(r"<[^>]+>")
ROW = re.compile(r"^\| \[(.+?)\]\(notebooks/(\w+)\.ipynb\) \| (.+?) \| (.+?) \|", re.MULTILINE)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Minutes(NamedTuple):
    """What a lesson's header says: to read it, and for its exercises (0: it does not say)."""

    reading: int
    exercises: int

    def __str__(self) -> str:
        return f"{self.reading} + {self.exercises}" if self.exercises else str(self.reading)


class Heading(NamedTuple):
    level: int
    id: str
    html: str


class Card(NamedTuple):
    """A lesson on the first page."""

    title: str
    href: str
    minutes: str
    builds: str
    cover: str
    whole: bool  # a figure is shown whole; of a grid of faces, a part will do


@dataclass
class Pictures:
    """Writes pictures into the site, and says how a page shows them."""

    out: Path
    number: int = 0
    shown: dict[str, int] = field(default_factory=dict)  # its address in the site: its bytes

    def stored(self, data: str, stem: str) -> str:
        """The address of a stored output: base64 of a PNG (moving ones stay so)."""
        self.number += 1
        return self._write(f"{stem}-{self.number}.png", base64.b64decode(data))

    def file(self, path: Path) -> str:
        """The address of a copy of a file."""
        return self._write(path.name, path.read_bytes())

    def tag(self, href: str, alt: str) -> str:
        """An `<img>` that keeps its place while it loads."""
        size = ""
        if not href.endswith(".svg"):
            with Image.open(self.out / href) as picture:
                size = f' width="{picture.width}" height="{picture.height}"'
        alt = html.escape(alt, quote=True)
        return f'<img src="{quote(href)}" alt="{alt}"{size} loading="lazy" decoding="async">'

    def _write(self, name: str, data: bytes) -> str:
        path = self.out / "figures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        href = f"figures/{name}"
        self.shown[href] = len(data)
        return href


class Renderer(mistune.HTMLRenderer):
    """Markdown of one page to HTML; it collects the headings on the way."""

    def __init__(self, course: Path, base: Path, pictures: Pictures):
        super().__init__(escape=False)
        self.course, self.base, self.pictures = course, base, pictures
        self.headings: list[Heading] = []
        self._markdown = mistune.create_markdown(renderer=self, plugins=["table", "math"])

    def markdown(self, source: str) -> str:
        return self._markdown(source)

    def heading(self, text: str, level: int, **attributes: object) -> str:
        name = plain(text).replace(" ", "-")  # as Jupyter names it, so that lessons' links hold
        same = sum(heading.id.rsplit("~")[0] == name for heading in self.headings)
        name += f"~{same + 1}" if same else ""
        self.headings.append(Heading(level, name, TAG.sub("", text)))
        link = f'<a class="anchor" href="#{quote(name)}" aria-label="Link to this part">#</a>'
        return f'<h{level} id="{html.escape(name, quote=True)}">{text} {link}</h{level}>\n'

    def block_code(self, code: str, info: str | None = None) -> str:
        return highlight(code, info or "text")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, self.address(url), title)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return self.pictures.tag(self.pictures.file(self.base / url), plain(text))

    def table(self, text: str) -> str:
        return f'<div class="wide" tabindex="0"><table>{text}</table></div>\n'

    def inline_math(self, text: str) -> str:
        return latex2mathml.converter.convert(text)

    def block_math(self, text: str) -> str:
        formula = latex2mathml.converter.convert(text.strip(), display="block")
        return f'<div class="wide" tabindex="0">{formula}</div>\n'

    def address(self, url: str) -> str:
        """Lessons are pages here, README is the first; other files are on GitHub."""
        path, mark, part = url.partition("#")
        if re.match(r"\w+:", url) or (not path and self.base != self.course):
            return url
        target = (self.base / path).resolve()
        if target.suffix == ".ipynb":
            return target.with_suffix(".html").name + mark + part
        if target in (self.course.resolve(), (self.course / "README.md").resolve()):
            return f"{home(self.course)}#{part}" if part else "index.html"
        inside = target.relative_to(self.course.resolve()).as_posix()
        return f"{home(self.course)}/blob/{address(self.course).branch}/{inside}{mark}{part}"


def plain(text: str) -> str:
    """HTML without its tags and entities, in one line."""
    return " ".join(html.unescape(TAG.sub("", text)).split())


def home(course: Path) -> str:
    return f"https://github.com/{address(course).repository}"


def highlight(code: str, language: str) -> str:
    """A block of code; a language that is not known stays without colours."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    coloured = pygments.highlight(code.rstrip("\n"), lexer, HtmlFormatter(nowrap=True))
    return f'<div class="code"><pre tabindex="0"><code>{coloured}</code></pre></div>\n'


def minutes(header: str) -> Minutes:
    """Read from the line **Time** of a lesson's first cell.

    It says "45 minutes to read and 40 for the exercises", or, of a longer lesson, "two sittings: 55
    minutes and 50, of which 50 for the exercises".
    """
    line = re.search(r"\*\*Time\*\*:?\s(.*(?:\n(?!\n).*)*)", header)
    text = " ".join(line[1].split()) if line else ""
    exercises = re.search(r"(\d+) for (?:\w+ ){0,2}exercises", text)
    practice = int(exercises[1]) if exercises else 0
    if reading := re.search(r"(\d+) minutes to read", text):
        return Minutes(int(reading[1]), practice)
    if sittings := re.search(r"sittings: (.+?), of which", text):
        return Minutes(sum(map(int, re.findall(r"\d+", sittings[1]))) - practice, practice)
    raise SystemExit(f"No minutes to read in {header.splitlines()[0]!r}; see tools.site.minutes.")


def cells_html(notebook: nbformat.NotebookNode, render: Renderer, stem: str) -> Iterator[str]:
    """The cells in order; the setup is folded, as nobody reads it."""
    setup: list[str] = []
    for i, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "setup" in tags and not cell.outputs:
            setup.append(highlight(cell.source, "python"))
            continue
        if setup:
            yield f'<details class="setup"><summary>Setup</summary>{"".join(setup)}</details>\n'
            setup = []
        if cell.cell_type == "markdown":
            yield prose_html(cell.source, render, after=notebook.cells[i - 1] if i else None)
        elif cell.cell_type == "code":
            caption = caption_of(notebook.cells[i + 1 : i + 2], render)
            yield code_html(cell, render, stem, caption)


def prose_html(source: str, render: Renderer, after: nbformat.NotebookNode | None) -> str:
    """A text cell; the italic line under a figure is marked as its caption."""
    if after is None:  # the first cell: the page has its own buttons
        source = re.sub(r"^.*figures/colab-badge\.svg.*$", "", source, flags=re.MULTILINE)
    captioned = bool(after and any(png(output) for output in after.get("outputs", [])))
    captioned = captioned and bool(CAPTION.match(source))
    kind = "prose captioned" if captioned else "prose"
    return f'<div class="{kind}">{render.markdown(source)}</div>\n'


def code_html(cell: nbformat.NotebookNode, render: Renderer, stem: str, caption: str) -> str:
    kind = " ".join(["cell", *("exercise" for tag in cell.metadata.get("tags", [])
                               if tag == "exercise")])  # fmt: skip
    outputs = [output_html(output, render, stem, caption) for output in cell.outputs]
    return f'<div class="{kind}">{highlight(cell.source, "python")}{"".join(outputs)}</div>\n'


def output_html(output: nbformat.NotebookNode, render: Renderer, stem: str, alt: str) -> str:
    """A stored output: a picture, a text with markup, or a plain one."""
    if picture := png(output):
        href = render.pictures.stored(picture, stem)
        tag = render.pictures.tag(href, alt or "The figure that the code above draws")
        return f'<p class="figure"><a href="{quote(href)}">{tag}</a></p>\n'
    data = output.get("data", {})
    if "text/markdown" in data:
        return f'<div class="prose out">{render.markdown("".join(data["text/markdown"]))}</div>\n'
    text = "".join(output.get("text") or data.get("text/plain") or output.get("traceback", ""))
    text = html.escape(ANSI.sub("", text).rstrip("\n"))
    return f'<pre class="out" tabindex="0">{text}</pre>\n' if text else ""


def png(output: nbformat.NotebookNode) -> str:
    return output.get("data", {}).get("image/png", "")


def caption_of(following: Sequence[nbformat.NotebookNode], render: Renderer) -> str:
    """The italic line with which the next cell begins, as plain text; "" if there is none."""
    for cell in following:
        found = cell.cell_type == "markdown" and CAPTION.match(cell.source)
        if found:
            inline = Renderer(render.course, render.base, render.pictures)
            return plain(inline.markdown(found[1]))
    return ""


def contents(headings: Sequence[Heading]) -> list[tuple[Heading, list[Heading]]]:
    """The page's parts, and the parts in them; its title, the first heading, is none of them."""
    parts: list[tuple[Heading, list[Heading]]] = []
    for heading in headings[1:]:
        if heading.level <= 2 or not parts:
            parts.append((heading, []))
        elif heading.level == 3:
            parts[-1][1].append(heading)
    return parts


def cover(stem: str, course: Path, pictures: Pictures) -> str:
    """The picture of a lesson's card: see COVERS. "" if the lesson has none."""
    own = {href: size for href, size in pictures.shown.items() if f"/{stem}-" in href}
    choice = COVERS.get(stem, 0)
    if isinstance(choice, str) and (course / choice).exists():
        return pictures.file(course / choice)
    if isinstance(choice, int) and 0 < choice <= len(own):
        return list(own)[choice - 1]
    return max(own, key=own.__getitem__, default="")


def first_page(course: Path, pictures: Pictures, covers: dict[str, str]) -> dict[str, object]:
    """What index.html shows: README's opening, its table as cards, and the commands to start."""
    readme = (course / "README.md").read_text(encoding="utf-8")
    render = Renderer(course, course, pictures)
    opening, _, rest = readme.partition("\n## ")
    rows = {name: (title, time, builds) for title, name, time, builds in ROW.findall(readme)}
    if missing := covers.keys() - rows.keys():
        raise SystemExit(f"README.md's table of lessons lacks {', '.join(sorted(missing))}.")
    cards = []
    for name, picture in covers.items():
        title, taken, builds = rows[name]
        shown = pictures.tag(picture, "") if picture else ""
        builds = render.markdown(builds).removeprefix("<p>").removesuffix("</p>\n")
        whole = not isinstance(COVERS.get(name), str)
        cards.append(Card(title, f"{name}.html", taken, builds, shown, whole))
    commands = re.search(r"```sh\n.*?```", rest, re.DOTALL)
    render.headings.clear()
    start = render.markdown(commands[0]) if commands else ""
    return {"opening": render.markdown(opening), "cards": cards, "start": start}


def build(course: Path = ROOT, out: Path = ROOT / "site") -> list[Path]:
    """Make the whole site new, and return its pages; `out` must be a site or not be there."""
    if out.exists() and any(out.iterdir()) and not (out / "site.css").exists():
        raise SystemExit(f"{out} holds something else than a site; choose another folder.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in STATIC:
        shutil.copy(LOOK / name, out / name)
    (out / ".nojekyll").touch()

    loader = jinja2.FileSystemLoader(LOOK)
    templates = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True)
    templates.globals.update(home=home(course), course="The AI painting course")
    paths = lessons(course)
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    titles = [book.cells[0].source.splitlines()[0].removeprefix("# ") for book in notebooks]
    near = [(f"{path.stem}.html", title) for path, title in zip(paths, titles, strict=True)]
    covers: dict[str, str] = {}
    pages = []
    for i, (path, notebook) in enumerate(zip(paths, notebooks, strict=True)):
        pictures = Pictures(out)
        render = Renderer(course, path.parent, pictures)
        body = "".join(cells_html(notebook, render, path.stem))
        page = templates.get_template("lesson.html").render(
            title=titles[i],
            body=body,
            contents=contents(render.headings),
            minutes=minutes(notebook.cells[0].source),
            colab=address(course).badge(path.name),
            source=f"{home(course)}/blob/{address(course).branch}/notebooks/{path.name}",
            before=near[i - 1] if i else None,
            after=near[i + 1] if i + 1 < len(near) else None,
        )
        covers[path.stem] = cover(path.stem, course, pictures)
        pages.append(write(out / f"{path.stem}.html", page))
    shown = first_page(course, Pictures(out), covers)
    first = templates.get_template("index.html").render(first=near[0][0], **shown)
    return [write(out / "index.html", first), *pages]


def write(path: Path, page: str) -> Path:
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="default: site/")
    given = parser.parse_args()
    started = time.monotonic()
    pages = build(out=given.out)
    size = sum(path.stat().st_size for path in given.out.rglob("*") if path.is_file())
    seconds = time.monotonic() - started
    print(f"{len(pages)} pages, {size / 2**20:.1f} MiB, in {seconds:.0f} s: open {pages[0]}")


if __name__ == "__main__":
    main()
