"""Colab: what the setup cells install, what Colab has, and how `make test-colab` judges."""

import re
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from packaging.requirements import Requirement

from tools import colab, notebooks

NOT_THERE = {"jupyterlab"}  # Colab is one itself
COLAB = colab.packages(colab.PACKAGES.read_text(encoding="utf-8"))
PROJECT = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {colab.normal(need.name): need for need in map(Requirement, PROJECT["dependencies"])}


def installs(cell: str) -> list[list[str]]:
    """The words after `pip install` of each such line."""
    return [line.split() for line in re.findall(r"%pip install (.+)", cell)]


def names(cell: str) -> set[str]:
    """The packages that a setup cell installs, the course itself left out."""
    words = {word for line in installs(cell) for word in line}
    return {colab.normal(word) for word in words if not word.startswith(("-", "https:"))}


def needs(name: str) -> dict[str, Requirement]:
    """What an installed package needs, here and without extras."""
    wanted = map(Requirement, metadata.requires(name) or [])
    wanted = [need for need in wanted if not need.marker or need.marker.evaluate({"extra": ""})]
    return {colab.normal(need.name): need for need in wanted}


CELLS = {path.stem: notebooks.address().setup_cell(path.name) for path in notebooks.lessons()}


@pytest.mark.parametrize("lesson", CELLS)
def test_setup_cell_installs_what_colab_lacks_and_nothing_else(lesson):
    """Neither torch nor numpy, nor anything else that Colab has: that would force a restart."""
    cell = CELLS[lesson]
    for line in installs(cell):
        assert "--no-deps" in line
    assert len(re.findall(r"\bpip3?\b|\buv\b|\bconda\b", cell)) == len(installs(cell))
    wanted = names(cell)
    assert not wanted & COLAB.keys()
    of_these = {need for name in wanted for need in needs(name)}
    assert wanted <= OURS.keys() | of_these, "not needed"
    assert of_these <= wanted | COLAB.keys(), "would be missing"


def test_colab_has_the_rest_of_what_the_course_needs():
    installed = set.union(*map(names, CELLS.values()))
    assert OURS.keys() - NOT_THERE == (OURS.keys() & COLAB.keys()) | (installed & OURS.keys())
    every = set.intersection(*map(names, CELLS.values()))
    assert {"dicebear-core", "resvg-py", "torch-fidelity"} <= every


@pytest.mark.parametrize("name", sorted(OURS.keys() & COLAB.keys()))
def test_lower_bounds_admit_what_colab_ships(name):
    assert OURS[name].specifier.contains(COLAB[name]), f"{OURS[name]}; Colab has {COLAB[name]}"


def test_packages_are_read_as_pypi_compares_them():
    text = "# a==1\nJinja2==3.1.6\nhuggingface_hub==1.17.0\ntorch==2.11.0+cu128\nx @ file:///y\n"
    assert colab.packages(text) == {
        "jinja2": "3.1.6", "huggingface-hub": "1.17.0", "torch": "2.11.0+cu128"
    }  # fmt: skip


def test_another_python_than_colabs_is_named():
    here = ".".join(map(str, sys.version_info[:2]))
    said = colab.on_what(Path(sys.executable), f"# Python {here}, and these versions.")
    assert said == f"on Colab's versions, with Python {here}"
    assert "Colab has Python 2.7" in colab.on_what(Path(sys.executable), "# Python 2.7, and")
    assert re.search(r"Python \d+\.\d+", colab.PACKAGES.read_text(encoding="utf-8"))


@pytest.fixture
def lesson(tmp_path) -> Path:
    """A lesson of three cells, which are not as stored, raise, and are as stored."""
    setup = notebooks.address().setup_cell("01_lesson.ipynb")
    cells = [
        new_code_cell(setup.replace("dicebear-core dicebear-schema resvg-py torch-fidelity ", "")),
        new_code_cell(
            "import google.colab, pathlib, tiny\n"
            "print(tiny.__file__ is not None, *pathlib.Path().iterdir())",
            outputs=[new_output("stream", text="True 01_lesson.ipynb\n")],
        ),
        new_code_cell("print(2)", outputs=[new_output("stream", text="3\n")]),
        new_code_cell("1 / 0"),
    ]
    for i, cell in enumerate(cells, 1):
        cell.execution_count = i
    path = tmp_path / "01_lesson.ipynb"
    kernel = {"kernelspec": dict(notebooks.KERNEL)}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    return path


def wheel(folder: Path, name: str) -> Path:
    """A wheel that holds one empty module, `tiny`."""
    path = folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("tiny.py", "")
        files.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        files.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        files.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
def test_a_lesson_runs_in_a_runtime_of_its_own(lesson, tmp_path):
    """Its setup cell installs the wheel; what differs is counted, and what raises is named."""
    found = colab.run(lesson, Path(sys.executable), wheel(tmp_path, colab.COURSE), {"numpy"})
    assert (found.cells, found.differ, found.raised) == (4, 2, 1)  # pip says something, too
    assert found.installed
    assert not found.anew
    assert found.verdict == "1 cells raise"
    assert "ZeroDivisionError" in str(found.first)
    assert not found.passed
    said = colab.table([found])
    assert "01_lesson" in said
    assert "ZeroDivisionError" in said


@pytest.mark.slow
def test_a_setup_cell_that_installs_what_colab_has_fails(lesson, tmp_path):
    found = colab.run(
        lesson, Path(sys.executable), wheel(tmp_path, "numpy-of-colab"), {"numpy-of-colab"}
    )
    assert found.verdict == (
        "1 cells raise; the course was not installed; installed anew: numpy-of-colab"
    )


def test_a_lesson_that_installs_from_elsewhere_is_refused(lesson, tmp_path):
    text = lesson.read_text(encoding="utf-8").replace("archive/", "zip/")
    lesson.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match="does not install https"):
        colab.copy_lesson(lesson, tmp_path / "course", tmp_path / "any.whl")
