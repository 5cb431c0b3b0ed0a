"""benchmarks/lessons.py: its table, what a lesson meets, and the end of the busy process."""

import importlib.util
from contextlib import nullcontext, suppress
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "lessons.py"
STUDENT = """\
import os
from pathlib import Path

assert os.environ["COURSE_DEVICE"] == "cpu" and os.environ["COURSE_BUDGET"] == "quick"
assert "OMP_NUM_THREADS" not in os.environ
assert Path("lesson.ipynb").exists()"""


@pytest.fixture(scope="module")
def lessons():
    spec = importlib.util.spec_from_file_location("bench_lessons", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lesson(tmp_path):
    path = tmp_path / "lesson.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(STUDENT)]), path)
    return path


def run(lessons, monkeypatch, capsys, *words) -> list[str]:
    monkeypatch.setattr("sys.argv", ["lessons.py", *words])
    lessons.main()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("alone", "beside", "cells"),
    [
        ([10.0], [30.0], "10.0 | 30.0 | 3.00 | yes"),
        ([10.0], [30.2], "10.0 | 30.2 | 3.02 | **no**"),
        ([9.0, 12.0, 10.0], [20.0, 25.0, 90.0], "10.0 (9.0–12.0) | 25.0 (20.0–90.0) | 2.50 | yes"),
        ([10.0], [], "10.0"),
    ],
)
def test_rows(lessons, alone, beside, cells):
    assert lessons.row("name", alone, beside) == f"| name | {cells} |"


def test_table(lessons, monkeypatch, capsys):
    monkeypatch.setattr(lessons, "seconds", lambda path: 1.0)
    monkeypatch.setattr(lessons, "busy", nullcontext)
    table = run(lessons, monkeypatch, capsys, "a.ipynb", "b.ipynb", "--repeats", "2")
    assert len({line.count("|") for line in table}) == 1
    assert table[2:] == [f"| {x} | 1.0 (1.0–1.0) | 1.0 (1.0–1.0) | 1.00 | yes |" for x in "ab"]
    assert len(run(lessons, monkeypatch, capsys, "--no-busy")) == 2 + len(
        list(lessons.LESSONS.glob("*.ipynb"))
    )


def test_a_lesson_meets_what_students_have_and_stays_as_it_is(lessons, lesson, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = lesson.read_bytes()
    table = run(lessons, monkeypatch, capsys, str(lesson), "--no-busy")
    assert table[2].startswith("| lesson | ")
    assert lesson.read_bytes() == before


@pytest.mark.slow
def test_the_busy_process_is_ended_whatever_happens(lessons):
    with suppress(KeyboardInterrupt), lessons.busy() as child:
        assert child.poll() is None
        raise KeyboardInterrupt
    assert child.poll() is not None
