"""The house: one floor above the other, no circles, and no room too large to read."""

import ast
import inspect
import textwrap
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import course_lib
from course_lib import training

ROOT = Path(course_lib.__file__).parent
# From the roof to the ground; a room may use those below its own floor, those before it on its
# floor (a later lesson builds on earlier ones), and itself.
FLOORS = [
    ("cli",),
    ("teaching",),
    ("exercises", "widgets"),
    (
        *("toy", "dcgan", "failures", "text", "conditional_gan", "latent_diffusion"),
        *("stable_diffusion", "novelty", "cyclegan"),
    ),
    ("judge", "faults", "metrics"),
    ("tracing", "plots"),
    ("pretrained",),
    ("training",),
    ("faces",),
    ("captions",),
    ("pixels", "settings"),
    ("files",),
    ("errors",),
]
MOST_LINES, MOST_OF_A_FUNCTION, A_SCREEN = 600, 60, 60

MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imports(path: Path) -> set[str]:
    """The course's modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) or {node.module}
    return {name for name in found if name.split(".")[0] == "course_lib"} - {"course_lib"}


def room(module: str) -> str:
    return module.split(".")[1]


def place(name: str) -> tuple[int, int]:
    """The number of its floor from the roof, and its place there, from the right."""
    floor = next(i for i, rooms in enumerate(FLOORS) if name in rooms)
    return floor, -FLOORS[floor].index(name)


def test_every_room_has_a_floor():
    assert {room(name) for name in MODULES if name != "course_lib"} == set().union(*FLOORS)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "course_lib"])
def test_imports_point_down(module):
    here = room(module)
    for used in {room(name) for name in imports(MODULES[module])} - {here}:
        message = f"{module} imports {used}, which is neither below it nor before it on its floor"
        assert place(used) > place(here), message


def test_no_circles_within_a_room_either():
    graph = {}
    for name, path in MODULES.items():
        inner = path.name == "__init__.py"  # a package's front door may import its rooms
        graph[name] = {
            used
            for used in imports(path)
            if not (inner and used.startswith(name + ".")) and not name.startswith(used + ".")
        }
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_no_room_and_no_function_is_too_long(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documentation = ast.get_docstring(node, clean=False) or ""
            lines = node.end_lineno - node.lineno + 1 - len(documentation.splitlines())
            assert lines <= MOST_OF_A_FUNCTION, f"{node.name} has {lines} lines"


def test_the_loop_is_one_screen():
    function = ast.parse(textwrap.dedent(inspect.getsource(training.fit))).body[0]
    documentation = ast.get_docstring(function, clean=False)
    lines = function.end_lineno - function.lineno + 1 - len(documentation.splitlines())
    assert lines <= A_SCREEN
