"""Run the lessons as Colab does: on its versions, from a wheel, through their own setup cells.

Usage:
    python -m tools.colab .venv-colab [3 5b …]

The folder is a virtual environment with the packages that Colab has (`make test-colab` makes one).
Each lesson gets what it gets on Colab: a new runtime on top of these, into which its setup cell
installs what Colab lacks; an empty folder with nothing but the notebook; no cache. The one change
is to the address in the setup cell, which becomes a wheel of this checkout. A lesson fails where a
cell raises, or where its setup cell installs what Colab already has, such as torch or numpy: that
would force a restart. Outputs may differ from what is stored; the table says in how many cells.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from course_lib.teaching import checking, lessons
from tools import notebooks

KERNEL = "colab"
PACKAGES = notebooks.ROOT / "tests" / "colab" / "packages.txt"
COURSE = "ai-painting-course"
DIFFERS = "Cell outputs differ"  # what nbval says of a cell that ran, but made something else
# Colab has this module loaded before the first cell; lessons and libraries recognise it by that.
LAUNCH = (
    "import google.colab; "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
)
WIDTH = 34


@dataclass(frozen=True)
class Outcome:
    """What came of one lesson. differ: cells that ran, but are not as stored."""

    lesson: str
    cells: int
    seconds: float
    differ: int
    raised: int
    installed: bool  # by the setup cell, the course itself
    anew: tuple[str, ...]  # packages of Colab's that the setup cell installed again
    first: checking.Difference | None  # of those that raised

    @property
    def passed(self) -> bool:
        return self.verdict == "ok"

    @property
    def verdict(self) -> str:
        if not self.cells:
            return "did not run"
        said = [f"{self.raised} cells raise"] if self.raised else []
        said += [] if self.installed else ["the course was not installed"]
        said += [f"installed anew: {', '.join(self.anew)}"] if self.anew else []
        return "; ".join(said) or "ok"


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(text: str) -> dict[str, str]:
    """Name and version of each line `name==version`."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.MULTILINE)
    return {normal(name): version for name, version in pins}


def site_packages(python: Path) -> Path:
    probe = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def interpreter(home: Path) -> Path:
    return home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def version(python: Path) -> str:
    """Of an interpreter, as "3.13"."""
    probe = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    done = subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def on_what(python: Path, text: str) -> str:
    """What the lessons ran on; where no Python like Colab's was found, another was taken."""
    has, theirs = version(python), re.search(r"Python (\d+\.\d+)", text)[1]
    other = "" if has == theirs else f"; Colab has Python {theirs}: name one by COLAB_PYTHON=…"
    return f"on Colab's versions, with Python {has}{other}"


def build_wheel(python: Path, folder: Path) -> Path:
    """The checkout as a wheel, built by Colab's own pip."""
    line = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, notebooks.ROOT]
    subprocess.run(line, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def new_runtime(lender: Path, home: Path) -> Path:
    """An environment of its own in `home` that sees all of the lender's packages; its Python."""
    subprocess.run([lender, "-m", "venv", "--without-pip", home], check=True)
    python = interpreter(home)
    path = site_packages(python) / "colab.pth"
    path.write_text(f"{site_packages(lender)}\n", encoding="utf-8")
    return python


def write_kernel(python: Path, folder: Path) -> None:
    """Register `python` as a kernel named "colab" in the Jupyter data folder `folder`."""
    colab = folder / "modules" / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").write_text("", encoding="utf-8")
    home = folder / "kernels" / KERNEL
    home.mkdir(parents=True)
    kernel = {
        "argv": [str(python), "-c", LAUNCH, "-f", "{connection_file}"],
        "display_name": "Colab",
        "language": "python",
        "env": {
            "PYTHONPATH": str(folder / "modules"),
            "IPYTHONDIR": str(folder / "ipython"),
            "COURSE_CACHE": str(folder / "cache"),
        },
    }
    (home / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")


def copy_lesson(lesson: Path, root: Path, wheel: Path) -> lessons.Lesson:
    """The notebook alone, in a course `root`; its setup cell installs `wheel`, not the archive."""
    notebook = nbformat.read(lesson, as_version=4)
    archive = notebooks.ARCHIVE.format(**notebooks.address()._asdict())
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    if archive not in setup.source:
        raise SystemExit(f"{lesson.name}: the setup cell does not install {archive}.")
    setup.source = setup.source.replace(archive, wheel.as_posix())
    path = root / "notebooks" / lesson.name
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    shutil.copy(notebooks.ROOT / "nbval.cfg", root)
    return lessons.Lesson(path)


def run(lesson: Path, lender: Path, wheel: Path, known: set[str]) -> Outcome:
    """One lesson in a runtime of its own. known: names of the packages that Colab has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = new_runtime(lender, folder / "runtime")
        jupyter = folder / "jupyter"
        write_kernel(python, jupyter)
        copy = copy_lesson(lesson, folder / "course", wheel)
        before = os.environ.get("JUPYTER_DATA_DIR")
        os.environ["JUPYTER_DATA_DIR"] = str(jupyter)
        try:
            (result,) = checking.run(folder / "course", [copy], KERNEL)
        finally:
            os.environ.pop("JUPYTER_DATA_DIR")
            if before is not None:
                os.environ["JUPYTER_DATA_DIR"] = before
        fresh = {normal(p.name.split("-")[0]) for p in site_packages(python).glob("*.dist-info")}
    return outcome(result, fresh, known)


def outcome(result: checking.Result, fresh: set[str], known: set[str]) -> Outcome:
    """Judge nbval's strict run as its lax one would: only what raises counts.

    fresh: names of the packages that the setup cell installed.
    """
    cases = [] if result.report is None else result.report.findall("testcase")
    complaints = [(case, checking.complaint(case)) for case in cases]
    differ = [case for case, text in complaints if DIFFERS in text]
    raised = [case for case, text in complaints if text and DIFFERS not in text]
    first = checking.difference_in(raised[0]) if raised else None
    if not cases:
        first = result.difference
    return Outcome(
        *(result.lesson, result.cells, result.seconds, len(differ), len(raised)),
        installed=COURSE in fresh,
        anew=tuple(sorted(fresh & known)),
        first=first,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    lines = [f"{'lesson':{WIDTH}}{'cells':>6}{'seconds':>9}{'differ':>8}  verdict"]
    for one in outcomes:
        numbers = f"{one.cells:>6}{one.seconds:>9.0f}{one.differ:>8}"
        lines.append(f"{one.lesson:{WIDTH}}{numbers}  {one.verdict}")
        if one.first:
            lines.append(f"    {one.first}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path, help="a virtual environment like Colab's")
    parser.add_argument("lessons", nargs="*", help="their numbers; default: all")
    given = parser.parse_args()

    started = time.monotonic()
    checking.require_nbval()
    lender = interpreter(given.environment.absolute())
    listed = PACKAGES.read_text(encoding="utf-8")
    known = set(packages(listed))
    chosen = [one.path for one in lessons.chosen(notebooks.ROOT, given.lessons)]
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(lender, Path(folder))
        for lesson in chosen:
            done = run(lesson, lender, wheel, known)
            outcomes.append(done)
            why = f"; {done.first}" if done.first else ""
            print(f"{lesson.stem}: {done.verdict}, {done.seconds:.0f} s{why}", flush=True)
    took = time.monotonic() - started
    print(f"\n{table(outcomes)}\n\n{took:.0f} s {on_what(lender, listed)}")
    if not all(one.passed for one in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
