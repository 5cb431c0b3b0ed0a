"""`course check`: a lesson that is as stored passes; a broken one is caught, named and shown."""

import json
import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest
from typer.testing import CliRunner

from course_lib import cli
from course_lib.teaching import checking, doctor
from course_lib.teaching.lessons import lessons
from tools.notebooks import ROOT

from .conftest import code, text, write


@pytest.fixture
def healthy(monkeypatch):
    findings = [doctor.Finding("fonts", "warning", "none", "install <some>")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    return findings


def test_a_broken_lesson_is_caught_and_named(course, healthy, tmp_path):
    """All of it in one run of three lessons: one that is well, one that differs, one that stops."""
    folder = course / "notebooks"
    (folder / "02_sizes.ipynb").unlink()
    head = text("# 1 · A", "a")
    cells = [head, code("print(1)", "b", "1\n"), code("print('<new>\\n'*2)", "c", "old\n")]
    write(folder / "01_differs.ipynb", cells)
    cells = [head, code("1 / 0", "b", "1\n"), code("print(2)", "c", "2\n")]
    write(folder / "02_stops.ipynb", cells)
    junit, page = tmp_path / "all.xml", tmp_path / "all.html"
    said = CliRunner().invoke(
        cli.app, ["check", "--jobs", "3", "--junit", str(junit), "--html", str(page)]
    )
    assert said.exit_code == 1, said.output
    lines = said.output.splitlines()
    assert lines[0].startswith("warning fonts")
    assert sum(" of 3: " in line for line in lines) == 3
    rows = {line.split()[0]: line.split() for line in lines if line[:2] in ("01", "02", "03")}
    assert rows["03_fine"][1] == "1"
    assert rows["03_fine"][3:] == ["ok"]
    assert rows["01_differs"][3:] == ["1", "of", "2", "cells", "differ"]
    assert "code cell 2, expected: old" in said.output
    assert "found:    <new> <new>" in said.output
    assert "code cell 1: ZeroDivisionError: division by zero" in said.output
    assert "2 of 3 not as stored: 01_differs, 02_stops" in said.output

    suites = ElementTree.parse(junit).getroot().findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["01_differs", "02_stops", "03_fine"]
    assert [suite.get("failures") for suite in suites] == ["1", "1", "0"]
    assert "x1B" not in junit.read_text(encoding="utf-8")
    html = page.read_text(encoding="utf-8")
    assert "<pre>&lt;new&gt;" in html
    assert "install &lt;some&gt;" in html
    assert 'name="viewport"' in html  # and a phone does not shrink it
    assert "src=" not in html  # no other file
    assert "href=" not in html


def test_a_kernel_that_is_not_there_is_named_with_those_that_are(course):
    with pytest.raises(checking.CheckingError, match=r"'no-such-kernel'; the kernels .*python3"):
        checking.run(course, lessons(course), kernel="no-such-kernel")
    line = checking.command(course, "python3", course / "x.xml")
    assert line[line.index("--nbval-kernel-name") + 1] == "python3"
    assert "--nbval-current-env" not in line


def test_a_kernel_that_cannot_start_is_told_before_any_lesson(course, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "lost" / "kernel.json"
    spec.parent.mkdir(parents=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    gone = str(tmp_path / "gone" / "python")
    spec.write_text(json.dumps({"argv": [gone], "display_name": "lost"}), encoding="utf-8")
    with pytest.raises(checking.CheckingError, match=r"gone.*which is not there"):
        checking.require_kernel("lost")
    spec.write_text('{"argv": [', encoding="utf-8")
    with pytest.raises(checking.CheckingError, match=r"cannot be read.*lost"):
        checking.require_kernel("lost")


def test_a_cell_without_an_end_is_said_to_be_one(course, monkeypatch):
    options = [option for option in checking.NBVAL if "timeout" not in option]
    monkeypatch.setattr(checking, "NBVAL", ("--nbval-cell-timeout=2", *options))
    endless = code("import time\nwhile True:\n    time.sleep(0.1)", "b")
    write(course / "notebooks" / "03_fine.ipynb", [endless, code("print(1)", "c", "1\n")])
    (result,) = checking.run(course, lessons(course)[1:])
    assert str(result.difference).startswith("code cell 1: found Timeout of 2 seconds")


def test_after_ctrl_c_no_other_lesson_is_begun(course, monkeypatch):
    begun = []

    def slow(root, lesson, kernel):
        begun.append(lesson)
        time.sleep(0.2)
        return checking.Result(lesson.path.stem, 1, 0, 0.2, None, None)

    def ctrl_c(result):
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "_run", slow)
    with pytest.raises(KeyboardInterrupt):
        checking.run(course, lessons(course) * 2, report=ctrl_c)
    assert len(begun) <= 2  # the first, and the one that was running


def test_an_error_of_the_doctors_stops_it_before_the_lessons(course, healthy, monkeypatch):
    healthy.append(doctor.Finding("weights", "error", "damaged"))
    monkeypatch.setattr(checking, "run", lambda *_: pytest.fail("a lesson was run"))
    said = CliRunner().invoke(cli.app, ["check"])
    assert said.exit_code == 1
    assert "error   weights" in said.output
    assert "--anyway" in said.output


def test_without_nbval_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(checking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(checking.CheckingError, match=r"pytest and nbval is not .*\[test\]"):
        checking.require_nbval()


@pytest.mark.skipif(not shutil.which("make"), reason="without make")
def test_it_compares_as_strictly_as_make_test(tmp_path):
    """The same options of nbval's, and the same settings."""
    line = checking.command(tmp_path / "a.ipynb", None, tmp_path / "b.xml")
    said = subprocess.run(
        ["make", "-n", "-o", ".venv/.ready", "test"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    options = [word for word in said.split() if word.startswith("--nbval")]
    assert len(options) == 4
    assert set(options) <= set(line)
    for name, value in checking.STORED.items():
        assert f"{name}={value}" in said
