"""The rules that every lesson keeps, and every exercise's solution against its checker.

A rule yields what is wrong with a lesson. Each has a lesson below that breaks it, and is caught.
"""

import ast
import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from course_lib.exercises import Verdict
from course_lib.pixels import animated_png
from tools import notebooks

KNOWN_TAGS = {"setup", "exercise", "nbval-ignore-output", "raises-exception"}
HEADINGS = ("**You will be able to**", "**Time**", "**In the article**")
MOST_LINES = 30
MOST_BYTES = 2 * 2**20
FEWEST_EXERCISES = 3

TITLE = re.compile(r"# (\d+[a-z]?) · (.+)")
EXERCISE = re.compile(r"\*\*Exercise (\d+)\.(\d+)\*\* ★+ \(\d+ min\)\.")
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.+?)\n```\n", re.DOTALL)
SHOWN = re.compile(r"show_stored\(\"(\w+)\"\)")
LINK = re.compile(r"(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^\]])*)\]\(([^)\s]+)\)")
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|work|mnt|private)/|[A-Z]:\\Users\\")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FRAGILE = re.compile(  # what Colab's ipywidgets 7 lacks, or what leaves different outputs behind
    r"\b(?:TagsInput|ColorsInput|TimePicker|NaiveDatetimePicker|DatetimePicker|Stack)\(|\.playing\b"
    r"|\bclear_output\(|\binteract\(|@interact|\bOutput\("
)
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[\w+/=]+")


@dataclass
class Lesson:
    """One notebook, and where it stands in its course."""

    path: Path
    root: Path = notebooks.ROOT

    @cached_property
    def notebook(self) -> NotebookNode:
        return nbformat.read(self.path, as_version=4)

    @property
    def code(self) -> list[NotebookNode]:
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def prose(self) -> list[NotebookNode]:
        return [cell for cell in self.notebook.cells if cell.cell_type == "markdown"]

    @property
    def number(self) -> int:
        return int(self.path.name[:2])

    @property
    def label(self) -> str:
        """Its number, with a letter where a lesson has parts: "5a"."""
        return self.path.stem.split("_")[0].lstrip("0")

    @property
    def first(self) -> int:
        """The number of its first exercise: the parts of a lesson are counted through."""
        parts = [Lesson(path, self.root) for path in notebooks.lessons(self.root)]
        earlier = [one for one in parts if one.number == self.number and one.path < self.path]
        return 1 + sum(len(one.exercises) for one in earlier)

    @property
    def title(self) -> str:
        return self.notebook.cells[0].source.splitlines()[0].removeprefix("# ")

    @property
    def exercises(self) -> list[int]:
        """Where the exercises' texts stand among the cells."""
        cells = enumerate(self.notebook.cells)
        return [i for i, cell in cells if cell.source.startswith("**Exercise")]

    def neighbours(self) -> tuple["Lesson | None", "Lesson | None"]:
        paths = [None, *notebooks.lessons(self.root), None]
        here = paths.index(self.path)
        before, after = paths[here - 1], paths[here + 1]
        return before and Lesson(before, self.root), after and Lesson(after, self.root)


Rule = Callable[[Lesson], Iterator[str]]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def texts(outputs: list[NotebookNode]) -> Iterator[str]:
    """Everything in a cell's outputs that can be read."""
    for output in outputs:
        yield from ("".join(output.get(key, "")) for key in ("text", "evalue"))
        yield from ("".join(line) for line in output.get("traceback", []))
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/") or kind == "image/svg+xml":
                yield DATA_URI.sub("", data if isinstance(data, str) else json.dumps(data))


def runs_everywhere(lesson: Lesson) -> Iterator[str]:
    kernel = lesson.notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"the kernel is {kernel}, not python3"
    if "widgets" in lesson.notebook.metadata:
        yield "metadata.widgets breaks GitHub's view: store it with `make notebooks`"
    if (size := lesson.path.stat().st_size) > MOST_BYTES:
        yield f"{size / 2**20:.1f} MiB: at most {MOST_BYTES / 2**20:.0f}"


def asks_for_a_gpu_where_it_trains(lesson: Lesson) -> Iterator[str]:
    """Colab then offers one; a student's share of Colab's GPUs is not spent on other lessons."""
    asks = lesson.notebook.metadata.get("accelerator") == "GPU"
    trains = any("settings.budget()" in cell.source for cell in lesson.code)
    if asks and not trains:
        yield "its metadata ask for a GPU, and it trains as long with one as without"
    if trains and not asks:
        yield "it trains longer with a GPU, and its metadata do not ask for one (run `make colab`)"


def was_run_whole(lesson: Lesson) -> Iterator[str]:
    counts = [cell.execution_count for cell in lesson.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: run it whole, with `make notebooks`"
    for i, cell in enumerate(lesson.code, 1):
        errors = [o for o in cell.outputs if o.output_type == "error"]
        if errors and "raises-exception" not in tags(cell):
            yield f"code cell {i} stores an error: {errors[0].ename}"


def rows_are_whole(lesson: Lesson) -> Iterator[str]:
    for i, cell in enumerate(lesson.code, 1):
        if len(notebooks.in_one_piece(cell.outputs)) < len(cell.outputs):
            yield f"code cell {i} tears what it prints: store it with `tools.notebooks run`"


def cells_are_short(lesson: Lesson) -> Iterator[str]:
    for i, cell in enumerate(lesson.code, 1):
        lines = len(cell.source.splitlines())
        if not lines:
            yield f"code cell {i} is empty"
        if lines > MOST_LINES:
            yield f"code cell {i} has {lines} lines: at most {MOST_LINES}"


def outputs_are_compared(lesson: Lesson) -> Iterator[str]:
    for i, cell in enumerate(lesson.notebook.cells):
        if unknown := set(tags(cell)) - KNOWN_TAGS:
            yield f"cell {i} has unknown tags: {', '.join(sorted(unknown))}"
        if cell.cell_type == "code" and re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source):
            yield f"cell {i} steers nbval by a comment: use a tag"
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in lesson.code)
    if ignored * 4 >= len(lesson.code):
        yield f"{ignored} of {len(lesson.code)} outputs are ignored: fewer than one in four"


def names_no_machine(lesson: Lesson) -> Iterator[str]:
    for i, cell in enumerate(lesson.notebook.cells):
        for text in (cell.source, *texts(cell.get("outputs", []))):
            if found := MACHINE_PATH.search(text):
                yield f"cell {i} holds a path of its author's machine: {found[0]}"


def opens_like_the_others(lesson: Lesson) -> Iterator[str]:
    address = notebooks.address(lesson.root)
    header, setup, imports = lesson.notebook.cells[:3]

    title = TITLE.match(header.source)
    if not title or title[1] != lesson.label:
        yield f"the title is not `# {lesson.label} · …`"
    places = [header.source.find(heading) for heading in HEADINGS]
    if -1 in places or places != sorted(places):
        yield f"the header lacks one of {', '.join(HEADINGS)}, or their order"

    badge = f"[![Open in Colab](figures/colab-badge.svg)]({address.badge(lesson.path.name)})"
    if badge not in header.source:
        yield f"no badge for this notebook: {badge}"
    for arrow, neighbour in zip("←→", lesson.neighbours(), strict=True):
        title, path = ("README", "../README.md")
        if neighbour:
            title, path = neighbour.title, neighbour.path.name
        if (link := f"{arrow} [{title}]({path})") not in header.source:
            yield f"the header lacks the link {link}"

    if setup.source != address.setup_cell(lesson.path.name):
        yield "the setup cell differs from tools.notebooks.SETUP_CELL (run `make colab`)"
    if tags(setup) != ["setup"] or tags(imports) != ["setup"]:
        yield "the second and third cells must be code, tagged `setup`"


def links_lead_somewhere(lesson: Lesson) -> Iterator[str]:
    for i, cell in enumerate(lesson.prose):
        todo = [CODE.sub("", cell.source)]
        while todo:
            for image, label, target in LINK.findall(todo.pop()):
                todo.append(label)
                remote = re.match(r"https?:", target)
                if image and not label.strip():
                    yield f"text cell {i}: the image {target} has no alt text"
                if image and remote:
                    yield f"text cell {i}: the image {target} is not in the repository"
                elif image and not target.endswith("colab-badge.svg"):
                    yield f"text cell {i}: a copy in Drive lacks {target}: use plots.show_stored"
                path = lesson.path.parent / unquote(target.partition("#")[0])
                if not remote and not path.exists():
                    yield f"text cell {i}: {target} does not exist"
        for picture in re.findall(r"<img\b[^>]*>", cell.source):
            if not re.search(r'alt="[^"]+"', picture):
                yield f"text cell {i}: {picture} has no alt text"


def widgets_work_everywhere(lesson: Lesson) -> Iterator[str]:
    for i, cell in enumerate(lesson.code, 1):
        if found := FRAGILE.search(cell.source):
            yield f"code cell {i} uses {found[0]}, which does not work everywhere"


def exercises_are_whole(lesson: Lesson) -> Iterator[str]:
    if len(lesson.exercises) < FEWEST_EXERCISES:
        yield f"{len(lesson.exercises)} exercises: at least {FEWEST_EXERCISES}"
    if len(lesson.exercises) != sum("exercise" in tags(cell) for cell in lesson.code):
        yield "every cell tagged `exercise` follows a text that starts with **Exercise"

    for k, i in enumerate(lesson.exercises, lesson.first):
        task, stub, solution = lesson.notebook.cells[i : i + 3]
        name = f"exercise {lesson.number}.{k}"
        heading = EXERCISE.match(task.source)
        if not heading or (int(heading[1]), int(heading[2])) != (lesson.number, k):
            yield f"{name}: its text starts with **Exercise {lesson.number}.{k}** ★ (… min)."
        if tags(stub) != ["exercise"]:
            yield f"{name}: no code cell tagged `exercise` follows the text"
        if not re.search(r"\ncheck\.\w+\(.*\)$", stub.source):
            yield f"{name}: the stub does not end with a line check.…(…)"
        if not SOLUTION.match(solution.source) or not solution.source.endswith("</details>"):
            yield f"{name}: no folded solution, with a ```python block, follows the stub"


RULES: list[Rule] = [
    runs_everywhere,
    asks_for_a_gpu_where_it_trains,
    was_run_whole,
    rows_are_whole,
    cells_are_short,
    outputs_are_compared,
    names_no_machine,
    opens_like_the_others,
    links_lead_somewhere,
    widgets_work_everywhere,
    exercises_are_whole,
]


def problems(lesson: Lesson) -> list[str]:
    return [problem for rule in RULES for problem in rule(lesson)]


# --- The lessons of the course ---------------------------------------------------------------

LESSONS = [Lesson(path) for path in notebooks.lessons()]
EXERCISES = [
    pytest.param(lesson, i, id=f"{lesson.path.stem}-{k}")
    for lesson in LESSONS
    for k, i in enumerate(lesson.exercises, 1)
]


def test_there_are_lessons():
    assert LESSONS


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_lesson_keeps_the_rules(lesson):
    assert problems(lesson) == []


def test_library_uses_widgets_that_work_everywhere():
    for path in (notebooks.ROOT / "course_lib").rglob("*.py"):
        assert not FRAGILE.search(path.read_text(encoding="utf-8")), path.name


def test_readme_opens_every_lesson_in_colab():
    readme = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    badges = re.findall(r"https://colab\.research\.google\.com/[^)\s]+", readme)
    address = notebooks.address()
    assert badges == [address.badge(lesson.path.name) for lesson in LESSONS]
    for lesson in LESSONS:
        assert f"[{lesson.title}](notebooks/{lesson.path.name})" in readme


def test_readme_names_the_lessons_that_ask_colab_for_a_gpu():
    readme = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(r"Lessons ([\w, ]+) ask Colab for a GPU", readme)[1]
    asking = [lesson for lesson in LESSONS if "accelerator" in lesson.notebook.metadata]
    numbers = [lesson.title.split(" · ")[0] for lesson in asking]
    assert re.split(r", | and ", said) == numbers


def run_cell(source: str, names: dict) -> object:
    """What IPython does with a cell: run it, return the value of its last line."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    *body, last = tree.body
    if not isinstance(last, ast.Expr):
        body, last = tree.body, None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


@pytest.fixture
def names(lesson, monkeypatch) -> dict:
    """The names that a lesson's setup cells define."""
    monkeypatch.chdir(lesson.path.parent)
    defined: dict = {"__name__": "__main__"}
    for cell in lesson.code:
        if "setup" in tags(cell):
            run_cell(cell.source, defined)
    return defined


@pytest.mark.parametrize(("lesson", "place"), EXERCISES)
def test_exercise_waits_until_it_is_solved(lesson, place, names):
    _, stub, solution = lesson.notebook.cells[place : place + 3]
    verdict = run_cell(stub.source, names)
    assert isinstance(verdict, Verdict)
    assert verdict.passed is None, f"the unsolved stub gets {verdict!r}"

    run_cell(SOLUTION.match(solution.source)[1], names)
    verdict = run_cell(stub.source.splitlines()[-1], names)
    assert verdict.passed, f"the solution gets {verdict!r}"


# --- A course of two small lessons that keeps every rule, and lessons that break one ---------


def write_lesson(root: Path, number: int, before: str, after: str) -> Path:
    path = root / "notebooks" / f"{number:02}_lesson.ipynb"
    address = notebooks.address(root)
    badge = f"[![Open in Colab](figures/colab-badge.svg)]({address.badge(path.name)})"
    header = f"# {number} · Lesson\n\n{badge} · ← {before} · → {after}\n\n" + "\n\n".join(HEADINGS)
    cells = [
        new_markdown_cell(header),
        new_code_cell(address.setup_cell(path.name), metadata={"tags": ["setup"]}),
        new_code_cell("import math", metadata={"tags": ["setup"]}),
    ]
    for k in range(1, 4):
        task = f"**Exercise {number}.{k}** ★ (2 min). Half of π?"
        solution = "```python\nanswer = math.pi / 2\n```\n\nBecause.\n"
        cells += [
            new_markdown_cell(task),
            new_code_cell("answer = ...\n\ncheck.half(answer)", metadata={"tags": ["exercise"]}),
            new_markdown_cell(f"<details><summary>Solution</summary>\n\n{solution}\n</details>"),
        ]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": dict(notebooks.KERNEL)})
    for i, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        cell.execution_count = i
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def course(tmp_path) -> Path:
    figures = tmp_path / "notebooks" / "figures"
    figures.mkdir(parents=True)
    shutil.copy(notebooks.ROOT / "notebooks" / "figures" / "colab-badge.svg", figures)
    shutil.copy(notebooks.ROOT / "pyproject.toml", tmp_path)
    badge = notebooks.address(tmp_path).badge("01_lesson.ipynb")
    clone = f"git clone https://github.com/{notebooks.address().repository} painting"
    (tmp_path / "README.md").write_text(f"A [badge]({badge}).\n\n    {clone}\n", encoding="utf-8")
    write_lesson(tmp_path, 1, "[README](../README.md)", "[2 · Lesson](02_lesson.ipynb)")
    write_lesson(tmp_path, 2, "[1 · Lesson](01_lesson.ipynb)", "[README](../README.md)")
    return tmp_path


def test_good_lessons_keep_the_rules(course):
    assert [problems(Lesson(path, course)) for path in notebooks.lessons(course)] == [[], []]


def say(text: str) -> list[NotebookNode]:
    return [new_output("stream", text=text)]


def replace(cell: int, old: str, new: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        assert old in notebook.cells[cell].source
        notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)

    return change


def add(text: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells.append(new_markdown_cell(text))


def tag(cell: int, *names: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].metadata.update(tags=list(names))


def outputs(cell: int, *kinds: NotebookNode) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].update(outputs=list(kinds))


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
HTML = new_output("display_data", data={"text/html": "<a href='/home/ada/x'>x</a>"})
BROKEN = {
    "the kernel is conda": lambda nb: nb.metadata.kernelspec.update(name="conda"),
    "metadata.widgets": lambda nb: nb.metadata.update(widgets={}),
    "ask for a GPU, and it": lambda nb: nb.metadata.update(accelerator="GPU"),
    "do not ask for one": replace(2, "import math", "settings.budget()"),
    "2.1 MiB": add("x" * 2_200_000),
    "execution counts": lambda nb: nb.cells[2].update(execution_count=7),
    "counts are [1, 2, None": lambda nb: nb.cells[4].update(execution_count=None),
    "code cell 2 stores an error: ValueError": outputs(2, ERROR),
    "code cell 2 is empty": replace(2, "import math", ""),
    "code cell 2 has 31 lines": replace(2, "import math", "import math\n" * 31),
    "unknown tags: hide-input": tag(2, "setup", "hide-input"),
    "steers nbval": replace(2, "import", "# NBVAL_IGNORE_OUTPUT\nimport"),
    "2 of 5 outputs are ignored": lambda nb: [tag(i, "nbval-ignore-output")(nb) for i in (4, 7)],
    "author's machine: /home/": outputs(2, *say("in /home/ada/course/dcgan.py")),
    "author's machine: /tmp/": replace(2, "import math", "open('/tmp/x')"),
    "cell 4 holds a path": outputs(4, HTML),
    "code cell 2 tears": outputs(2, *say("3.2 "), *say("0.10")),
    r"C:\Users": outputs(2, *say(r"C:\Users\ada\course")),
    "the title is not": replace(0, "# 1 · Lesson", "# 3 · Lesson"),
    "the header lacks one of": replace(0, "**Time**", "Time"),
    "no badge for this notebook": replace(0, "01_lesson", "02_lesson"),
    "← [README](../README.md)": replace(0, "← [README](../README.md)", ""),
    "→ [2 · Lesson](02_lesson.ipynb)": replace(0, "→ [2 · Lesson]", "→ [Next]"),
    "the setup cell differs": replace(1, "--no-deps ", ""),
    "tagged `setup`": tag(2),
    "has no alt text": add("![](figures/colab-badge.svg)"),
    "is not in the repository": add("![a badge](https://example.org/badge.svg)"),
    "a copy in Drive lacks": add("![a grid](../data/figures/halves.png)"),
    "missing.svg does not exist": add("[![a badge](figures/missing.svg)](https://example.org)"),
    "09_lesson.ipynb#top does not exist": add("see [below](09_lesson.ipynb#top)"),
    "<img src='x'> has no alt text": add("<img src='x'>"),
    "code cell 2 uses clear_output(": replace(2, "import math", "clear_output(wait=True)"),
    "code cell 2 uses TagsInput(": replace(2, "import math", "widgets.TagsInput()"),
    "2 exercises: at least 3": lambda nb: nb.cells.__delitem__(slice(-3, None)),
    "every cell tagged `exercise`": replace(3, "**Exercise 1.1**", "Exercise 1.1"),
    "1.2: its text starts with": replace(6, "Exercise 1.2", "Exercise 1.3"),
    "1.3: its text starts with": replace(9, "★ (2 min)", ""),
    "1.1: no code cell": tag(4),
    "1.1: the stub does not end": replace(4, "check.half(answer)", "check.half(answer)\nprint()"),
    "1.1: no folded solution": replace(5, "```python", "```"),
    "1.2: no folded solution": replace(8, "</details>", ""),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_broken_lesson_is_caught(course, problem):
    path = notebooks.lessons(course)[0]
    notebook = nbformat.read(path, as_version=4)
    BROKEN[problem](notebook)
    nbformat.write(notebook, path)
    assert any(problem in found for found in problems(Lesson(path, course)))


def test_every_rule_is_broken_by_a_lesson(course):
    """A rule that no lesson above can break would never be missed."""
    caught = set()
    path = notebooks.lessons(course)[0]
    whole = nbformat.read(path, as_version=4)
    for change in BROKEN.values():
        notebook = nbformat.from_dict(json.loads(json.dumps(whole)))
        change(notebook)
        nbformat.write(notebook, path)
        caught |= {rule.__name__ for rule in RULES if list(rule(Lesson(path, course)))}
    assert caught == {rule.__name__ for rule in RULES}


# --- What makes and stamps them --------------------------------------------------------------


def test_stamp_changes_every_place_and_nothing_else(course):
    new = notebooks.Address("ada/painting.course", "spring/2027")
    changed = notebooks.stamp(course, new)
    assert len(changed) == 4  # pyproject, README, two lessons
    assert notebooks.address(course) == new
    assert [problems(Lesson(path, course)) for path in notebooks.lessons(course)] == [[], []]
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert new.badge("01_lesson.ipynb") in readme
    assert "git clone https://github.com/ada/painting.course painting" in readme
    assert notebooks.stamp(course, new) == []

    notebooks.stamp(course, notebooks.address())
    before, after = (root / "pyproject.toml" for root in (notebooks.ROOT, course))
    assert before.read_bytes() == after.read_bytes()


def test_stamp_asks_for_a_gpu_where_one_is_of_use(course):
    path, other = notebooks.lessons(course)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].source = "long = settings.budget()"
    nbformat.write(notebook, path)
    assert problems(Lesson(path, course))
    assert notebooks.stamp(course, notebooks.address()) == [path, other]  # no language_info yet
    assert nbformat.read(path, as_version=4).metadata["colab"] == {"gpuType": "T4"}
    assert "colab" not in nbformat.read(other, as_version=4).metadata
    assert problems(Lesson(path, course)) == []


@pytest.mark.parametrize(
    ("repository", "branch"), [("https://github.com/a/b", "main"), ("a/b", "a b"), ("a", "main")]
)
def test_stamp_refuses_what_is_no_address(course, repository, branch):
    with pytest.raises(SystemExit, match="is not"):
        notebooks.stamp(course, notebooks.Address(repository, branch))


def test_run_stores_clean_outputs(tmp_path):
    path = tmp_path / "01_lesson.ipynb"
    sources = ["import ipywidgets\nipywidgets.IntSlider(3)", "print(1 + 1)"]
    cells = [new_code_cell(source) for source in sources]
    cells[1].metadata["scrolled"] = True
    nbformat.write(new_notebook(cells=cells, metadata={"widgets": {}}), path)
    notebooks.run(path)

    stored = nbformat.read(path, as_version=4)
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert [cell.execution_count for cell in stored.cells] == [1, 2]
    assert [dict(cell.metadata) for cell in stored.cells] == [{}, {}]
    assert list(stored.cells[0].outputs[0].data) == ["text/plain"]
    assert stored.cells[1].outputs[0].text == "2\n"


def test_a_large_figure_gets_few_colours_unless_it_moves():
    noise = np.random.default_rng(0).integers(0, 256, (3, 90, 90, 3), np.uint8)
    still = io.BytesIO()
    Image.fromarray(noise[0]).save(still, "PNG")
    png = base64.b64encode(still.getvalue()).decode()
    assert len(notebooks._in_256_colours(png)) < len(png) / 2
    moving = base64.b64encode(animated_png(noise)).decode()
    assert notebooks._in_256_colours(moving) == moving


def test_address_stands_in_one_place():
    """Badges and setup cells are stamped from it; nothing else may name the repository."""
    home = f"github.com/{notebooks.address().repository}"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=notebooks.ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    stamped = {"README.md", *(f"notebooks/{lesson.path.name}" for lesson in LESSONS)}
    for name in set(listed.stdout.split("\0")) - stamped - {"", "pyproject.toml"}:
        path = notebooks.ROOT / name
        if path.is_file():
            assert home.encode() not in path.read_bytes(), name


def test_stored_figures_stand_in_the_lessons_as_they_lie_in_the_data():
    seen = 0
    for path in notebooks.lessons():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and (call := SHOWN.search(cell.source)):
                (shown,) = (output.data["image/png"] for output in cell.outputs)
                file = notebooks.ROOT / "data" / "figures" / f"{call[1]}.png"
                assert base64.b64decode(shown) == file.read_bytes(), (path.name, call[1])
                seen += 1
    assert seen == len(list((notebooks.ROOT / "data" / "figures").glob("*.png")))
