"""Run the lessons and store clean outputs; put the repository's address into them.

Usage:
    python -m tools.notebooks run [notebooks/03_training_loop.ipynb …]
    python -m tools.notebooks stamp [--repository owner/name] [--branch main]
"""

import argparse
import base64
import io
import re
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nbclient
import nbformat
from PIL import Image

from course_lib.pixels import in_few_colours

ROOT = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LARGE = 200_000  # letters of a figure's base64; GitHub and git are happier with less
# Where a lesson trains as long as `settings.budget()` says, Colab offers a GPU when it is opened.
GPU = {"accelerator": "GPU", "colab": {"gpuType": "T4"}}
BUDGET = "settings.budget()"
WIDGET = "application/vnd.jupyter.widget-view+json"

BADGE = "https://colab.research.google.com/github/{repository}/blob/{branch}/notebooks/{name}"
SETUP_CELL = """\
# Colab: install the course (torch and numpy stay as they are). Elsewhere: only a setting.
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave their core to others
if "google.colab" in sys.modules:
    %pip install -q --no-deps dicebear-core dicebear-schema resvg-py torch-fidelity {archive}"""
MORE = {  # a line for packages that one lesson alone needs
    "06_painting.ipynb": "\n    %pip install -q --no-deps dicebear-styles",
    "08_cyclegan.ipynb": "\n    %pip install -q --no-deps dicebear-styles",
}
ARCHIVE = "https://github.com/{repository}/archive/{branch}.zip"

_CLONE = re.compile(r"(?<=git clone )https://github\.com/[\w.-]+/[\w.-]+")
_BADGE = re.compile(
    BADGE.format(repository=r"[\w.-]+/[\w.-]+", branch=r"\S+?", name=r"(\w+\.ipynb)")
)


class Address(NamedTuple):
    """Where the course is published: "owner/name" and the branch that Colab opens."""

    repository: str
    branch: str

    def badge(self, name: str) -> str:
        """The address that opens notebook `name` in Colab."""
        return BADGE.format(**self._asdict(), name=name)

    def setup_cell(self, name: str) -> str:
        """The code of the second cell of notebook `name`."""
        archive = ARCHIVE.format(**self._asdict())
        return SETUP_CELL.format(archive=archive) + MORE.get(name, "")


def lessons(root: Path = ROOT) -> list[Path]:
    """The course's notebooks, in order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def address(root: Path = ROOT) -> Address:
    """The address that stands in pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    repository = project["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    return Address(repository, project["tool"]["course"]["branch"])


def stamp(root: Path, new: Address) -> list[Path]:
    """Write `new` into pyproject.toml, README, badges and setup cells; return what changed.

    Each lesson's metadata are set right as well.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new.repository):
        raise SystemExit(f"{new.repository!r} is not of the form owner/name.")
    if not re.fullmatch(r"[\w./-]+", new.branch):
        raise SystemExit(f"{new.branch!r} is not a branch's name.")

    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    home = f"https://github.com/{new.repository}"
    for key, value in (("Repository", home), ("branch", new.branch)):
        project = re.sub(rf'^({key} = ").*?(")', rf"\g<1>{value}\2", project, flags=re.MULTILINE)
    files = {root / "pyproject.toml": project}

    readme = (root / "README.md").read_text(encoding="utf-8")
    readme = _BADGE.sub(lambda badge: new.badge(badge[1]), readme)
    files[root / "README.md"] = _CLONE.sub(home, readme)

    for path in lessons(root):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _BADGE.sub(lambda badge: new.badge(badge[1]), cell.source)
            elif cell.source.startswith(SETUP_CELL.splitlines()[0]):
                cell.source = new.setup_cell(path.name)
        notebook.metadata = metadata(notebook)
        files[path] = _text(notebook)

    changed = [path for path, text in files.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        path.write_text(files[path], encoding="utf-8", newline="\n")
    return changed


def run(path: Path) -> None:
    """Execute a notebook from its first cell to its last and store the outputs."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = KERNEL
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
    )
    client.execute()
    clean(notebook)
    path.write_text(_text(notebook), encoding="utf-8", newline="\n")


def metadata(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """What a lesson says of itself as a whole: its kernel, and whether a GPU is of use to it."""
    trains = any(cell.cell_type == "code" and BUDGET in cell.source for cell in notebook.cells)
    known = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return nbformat.from_dict(known | (GPU if trains else {}))


def clean(notebook: nbformat.NotebookNode) -> None:
    """Leave out what changes from run to run or what GitHub cannot show.

    A widget is stored as its static picture or text: GitHub cannot draw a live one, and refuses a
    whole notebook that has `metadata.widgets`.
    """
    notebook.metadata = metadata(notebook)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = in_one_piece(cell.outputs)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if len(data) > 1:
                data.pop(WIDGET, None)
            stored = "show_stored(" in cell.source  # it lies in the repository as it should be
            if len(data.get("image/png", "")) > LARGE and not stored:
                data["image/png"] = _in_256_colours(data["image/png"])


def in_one_piece(outputs: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What a cell prints without a break is one output, however it came: torn rows cannot be read.

    nbclient's own `coalesce_streams` would also carry what is printed below a figure above it.
    """
    whole = []
    for output in outputs:
        before = whole[-1] if whole else {}
        if output.output_type == "stream" and before.get("name") == output.name:
            whole[-1] = nbformat.from_dict(before | {"text": before.text + output.text})
        else:
            whole.append(output)
    return whole


def _in_256_colours(png: str) -> str:
    """A large figure, such as a grid of faces, in a third of its bytes; in base64, both.

    One that moves has few colours already, and would be left with its first frame.
    """
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        if getattr(picture, "is_animated", False):
            return png
        small = in_few_colours(picture)
    encoded = io.BytesIO()
    small.save(encoded, "PNG", optimize=True)
    return base64.b64encode(encoded.getvalue()).decode("ascii")


def _text(notebook: nbformat.NotebookNode) -> str:
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run notebooks and store their outputs")
    running.add_argument("paths", nargs="*", type=Path, help="default: all of notebooks/")
    stamping = commands.add_parser("stamp", help="write the address into badges and setup cells")
    stamping.add_argument("--repository", help="owner/name on GitHub")
    stamping.add_argument("--branch", help="the branch that Colab opens")
    given = parser.parse_args()

    if given.command == "run":
        for path in given.paths or lessons():
            started = time.monotonic()
            run(path)
            seconds, size = time.monotonic() - started, path.stat().st_size
            print(f"{path.name}: {seconds:.0f} s, {size / 1024:.0f} KiB")
    else:
        now = address()
        new = Address(given.repository or now.repository, given.branch or now.branch)
        for path in stamp(ROOT, new):
            print(f"changed {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
