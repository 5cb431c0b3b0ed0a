"""`course grade`: right is right, wrong is wrong, and nobody passes by other means."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_lib import cli, exercises
from course_lib.exercises import frame
from course_lib.teaching import grading, lessons, pupil

from .conftest import RIGHT_SIDE, SIDE, VARIETY, code, sizes, write

CALL = "\n\n\ncheck.output_side(side_after)"
CHECKERS = {"output_side": exercises.output_side, "variety": exercises.variety}
ASKED = {
    "2.1": {"number": "2.1", "cell": "answer-1", "call": "check.output_side(side_after)"},
    "2.4": {"number": "2.4", "cell": "answer-2", "call": "check.variety(variety)"},
}


@pytest.fixture(scope="module")
def seal():
    return pupil.Seal()


@pytest.fixture
def judge(seal, monkeypatch):
    """The verdict on an exercise of a notebook, in this process."""
    monkeypatch.setattr(frame, "MOST_STEPS", 100_000)  # an endless loop is ended sooner

    def judge(cells, number="2.1"):
        return pupil.judge(pupil.Notebook(cells), ASKED[number], CHECKERS, seal)

    return judge


def test_right_wrong_and_waiting(judge):
    assert judge(sizes(RIGHT_SIDE + CALL))["kind"] == "right"
    wrong = judge(sizes(SIDE.replace("...", "(side - kernel) // stride + 1")))
    assert wrong["kind"] == "wrong"
    assert "You forgot the padding" in wrong["message"]
    assert judge(sizes())["kind"] == "waiting"
    assert judge(sizes(), "2.4")["kind"] == "waiting"
    gone = [cell for cell in sizes() if cell["id"] != "answer-1"]
    assert judge(gone) == {
        "number": "2.1",
        "kind": "waiting",
        "message": "Its cell is not in the notebook.",
    }


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("side_after = lambda:", "SyntaxError in its cell"),
        ("import sys\nsys.exit(0)" + CALL, "stopped with SystemExit"),
        ("print('✓ well done')\nraise ValueError('so')" + CALL, "ValueError: so"),
        ("def side_after(*_):\n    raise SystemExit" + CALL, "SystemExit"),
        ("def side_after(*_):\n    while True:\n        pass" + CALL, "never ends"),
        ("check.output_side(side_after)", "no `side_after`"),
    ],
)
def test_what_stops_is_wrong_and_says_why(judge, answer, words):
    verdict = judge(sizes(answer))
    assert verdict["kind"] == "wrong"
    assert words in verdict["message"]


def test_a_long_message_is_kept_whole(judge):
    verdict = judge(sizes(f"raise ValueError('{'long ' * 150}end')" + CALL))
    assert verdict["message"].endswith("long end")


def test_a_table_fits_the_terminal(course, tmp_path):
    lesson = lessons.lessons(course)[0]
    about = grading.Submission(tmp_path / "x.ipynb", "ada", lesson)
    wrong = [grading.Verdict(number, "wrong", "You forgot the padding") for number in ASKED]
    results = [grading.Graded(about, wrong)]
    (whole,) = grading.tables(results)
    assert "✗ You forgot the padding" in whole
    for columns, words in ((60, "✗ You forgot the padd"), (45, "✗ You forgot"), (30, "✗    ✗")):
        (table,) = grading.tables(results, columns)
        assert max(map(len, table.splitlines())) < columns
        assert words in table


def test_an_answer_may_stand_elsewhere_and_lean_on_other_cells(judge):
    """In a cell of its own, without ids, with a helper and a magic in cells above."""
    helper = code("%matplotlib inline\nhalf = {'n': 1}", "h")
    unlike = code("half['n'] = 2", "u")
    unneeded = code("raise RuntimeError('not for this exercise')", "x")
    body = RIGHT_SIDE.replace("2 *", "half['n'] *")
    cells = [helper, unlike, unneeded, *sizes(), code(body + CALL, "mine")]
    for cell in cells:
        del cell["id"]
    assert judge(cells)["kind"] == "right"


def test_functions_of_the_same_name_are_not_mistaken_for_the_checker(judge):
    """As lesson 5a's `flow.add_noise(…)`, which stands below exercise 5.1, `check.add_noise(…)`."""
    other = code("flow.output_side(3)\nraise RuntimeError('far below')", "other")
    cells = [*sizes(RIGHT_SIDE + CALL), other]
    assert judge(cells)["kind"] == "right"


def test_a_cell_that_is_needed_and_stops_is_named(judge):
    cells = [code("half = 1 / 0", "h"), *sizes(RIGHT_SIDE.replace("2 *", "half *") + CALL)]
    verdict = judge(cells)
    assert verdict["message"].startswith("Code cell 1, which it needs, stopped with ZeroDivision")


def test_nobody_passes_by_another_check_or_by_printing(judge):
    fake = "class check:\n    output_side = staticmethod(lambda _: print('✓ right'))\n\n\n"
    stub = SIDE.partition("\n\n\n")[0].replace("...", "0")
    assert judge(sizes(fake + stub + CALL))["kind"] == "wrong"
    said = "print('✓ That is right')\nprint('right')\n"
    assert judge(sizes(said + stub + CALL))["kind"] == "wrong"


@pytest.mark.parametrize(
    ("trick", "name"),
    [
        ("frame.require = lambda *_: None", "require"),
        ("frame.Verdict = lambda *_: frame.Verdict(True, '')", "Verdict"),
        ("frame.Verdict.__init__ = lambda self, *_: None", "__init__"),
        ("frame.require.__code__ = (lambda condition, message: None).__code__", "require"),
        ("import torch\ntorch.allclose = lambda *_, **__: True", "allclose"),
        ("import builtins\nbuiltins.round = lambda *_: 0", "round"),
    ],
)
def test_whoever_changes_the_checker_is_found_out(judge, trick, name):
    import builtins

    import torch

    kept = frame.require, frame.require.__code__, frame.Verdict, frame.Verdict.__init__
    others = torch.allclose, builtins.round
    try:
        stub = SIDE.partition("\n\n\n")[0].replace("...", "0")
        cells = sizes(f"from course_lib.exercises import frame\n{trick}\n{stub}{CALL}")
        verdict = judge(cells)
    finally:
        frame.require, frame.require.__code__, frame.Verdict, frame.Verdict.__init__ = kept
        torch.allclose, builtins.round = others
    assert verdict["kind"] == "wrong"
    assert "changes what judges it" in verdict["message"]
    assert name in verdict["message"]


def test_an_answer_that_changes_it_when_it_is_called_is_found_out(judge):
    kept = frame.require
    trick = "from course_lib.exercises import frame\n\n\ndef side_after(*_, **__):\n"
    trick += "    frame.require = lambda *_: None\n    return 0"
    try:
        verdict = judge(sizes(trick + CALL))
    finally:
        frame.require = kept
    assert "changes what judges it" in verdict["message"]


def test_names_come_from_files_and_folders(course, tmp_path):
    lesson = lessons.lessons(course)[0]
    for path, name in {
        "ada_02_sizes.ipynb": "ada",
        "02_sizes-Bo Li (1).ipynb": "Bo Li",
        "cy/02_sizes.ipynb": "cy",
        "class/dan/lesson_2/02_sizes-copy1.ipynb": "dan",
        "eve/02_sizes/answer.ipynb": "eve",
        "fay.ipynb": "fay",
        "gil/student/notebooks/02_sizes.ipynb": "gil",  # what was handed out, as a whole
        "hu/ai-painting-course-main/notebooks/02_sizes.ipynb": "hu",
    }.items():
        assert grading.student(tmp_path / path, tmp_path, lesson) == name, path


def test_two_of_one_name_are_told_apart_by_their_folders(course, tmp_path):
    known = lessons.lessons(course)
    for path in (
        "group a/kim/02_sizes.ipynb",
        "group b/kim/02_sizes.ipynb",
        "group b/lee/02_sizes.ipynb",
        "week 1/mia_02_sizes.ipynb",
        "week 1/mia_02_sizes (1).ipynb",  # of one folder: the same Mia, twice
    ):
        write(tmp_path / "in" / path, sizes())
    names = [one.student for one in grading.collect(tmp_path / "in", known)]
    assert names == ["kim (group a)", "kim (group b)", "lee", "mia", "mia"]


def test_lessons_are_known_by_cells_or_by_checkers(course, tmp_path):
    known, folder = lessons.lessons(course), tmp_path / "in"
    write(folder / "a" / "renamed.ipynb", sizes())
    write(folder / "b.ipynb", [{**cell, "id": f"new-{i}"} for i, cell in enumerate(sizes())])
    write(folder / "c.ipynb", [code("print(1)", "none-of-ours")])
    write(folder / ".ipynb_checkpoints" / "02_sizes.ipynb", sizes())
    a, b, c = grading.collect(folder, known)
    assert (a.student, a.lesson, a.complaint) == ("a", known[0], "")
    assert (b.student, b.lesson) == ("b", known[0])
    assert c.lesson is None
    assert "like none" in c.complaint
    with pytest.raises(grading.GradingError, match="no notebook"):
        grading.collect(course / "benchmarks", known)


PRYING = """\
import os, socket, subprocess, sys
from pathlib import Path

tried = []


def refused(name, action):
    try:
        action()
    except OSError:
        tried.append(name)


refused("socket", lambda: socket.create_connection(("127.0.0.1", {port}), timeout=2))
refused("name", lambda: socket.getaddrinfo("example.org", 80))
refused("program", lambda: subprocess.run(["true"]))
refused("write", lambda: Path({outside!r}).write_text("x"))
refused("remove", lambda: os.remove({victim!r}))
Path("inside.txt").write_text("mine")
assert "COURSE_TEST_TOKEN" not in os.environ
for stream in (sys.stdout, sys.__stdout__):
    print('{{"number": "2.1", "kind": "right", "message": "mine"}}', file=stream, flush=True)
os.write(1, b'{{"number": "2.1", "kind": "right", "message": "mine"}}\\n')
assert tried == ["socket", "name", "program", "write", "remove"], tried


"""


def test_a_class_is_graded(course, tmp_path, monkeypatch):
    """One run: a good and a wrong answer behind walls, an endless loop, a broken notebook."""
    import socket

    monkeypatch.setenv("COURSE_TEST_TOKEN", "secret")
    server = socket.create_server(("127.0.0.1", 0))
    victim = tmp_path / "victim.txt"
    victim.write_text("here")
    there = {"port": server.getsockname()[1], "outside": str(tmp_path / "new.txt")}
    prying = PRYING.format(victim=str(victim), **there)
    folder = tmp_path / "handed-in"
    wrong = VARIETY.replace("...", "0.0")
    write(folder / "ada" / "02_sizes.ipynb", sizes(prying + RIGHT_SIDE + CALL, wrong))
    write(folder / "bo" / "02_sizes.ipynb", sizes("while True:\n    pass" + CALL, VARIETY))
    (folder / "cy").mkdir()
    (folder / "cy" / "02_sizes.ipynb").write_text('{"cells": [')
    table = tmp_path / "marks.csv"
    words = ["grade", str(folder), "--seconds", "10", "--jobs", "2", "--csv", str(table)]
    said = CliRunner().invoke(cli.app, words)
    server.close()
    assert said.exit_code == 0, said.output
    rows = {line.split()[0]: line for line in said.output.splitlines() if line.strip()}
    assert rows["2"].split()[-2:] == ["2.1", "2.4"]
    assert rows["ada"].split()[1:3] == ["✓", "✗"]
    assert "⏱ not done after" in rows["bo"]
    assert rows["bo"].rstrip().endswith("○")
    assert "✗ broken notebook" in rows["cy"]
    assert "02_sizes.ipynb is no notebook" in said.output

    with table.open(encoding="utf-8-sig", newline="") as file:
        marks = {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}
    assert marks["ada", "2.1"]["verdict"] == "right", marks["ada", "2.1"]
    assert marks["ada", "2.4"]["verdict"] == "wrong"
    assert marks["ada", "2.4"]["message"]
    assert marks["bo", "2.1"]["verdict"] == "time limit"
    assert marks["bo", "2.4"]["verdict"] == "waiting"
    assert marks["cy", "2.1"]["verdict"] == marks["cy", "2.4"]["verdict"] == "broken"
    assert victim.read_text() == "here"
    assert not (tmp_path / "new.txt").exists()


def test_after_ctrl_c_nobodys_loop_is_waited_for(course, tmp_path):
    folder = tmp_path / "handed-in"
    write(folder / "bo" / "02_sizes.ipynb", sizes("while True:\n    pass" + CALL))
    (folder / "ada.ipynb").write_text("{")

    reported = []

    def ctrl_c(graded):
        reported.append(graded.submission.student)
        time.sleep(1)  # bo's process has begun
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        grading.grade(grading.collect(folder, lessons.lessons(course)), 60, 2, ctrl_c)
    assert time.monotonic() - began < 20
    assert reported == ["ada"]


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_the_kernel_keeps_the_process_off_the_network_where_it_can():
    """Not Python's refusal, which `forbid` adds later: C code, too, finds no way out."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        probe = (
            "import socket\nfrom course_lib.teaching.pupil import cut_network\n"
            "apart = cut_network()\ntry:\n"
            f"    socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)\n"
            "    print(apart, 'in')\nexcept OSError:\n    print(apart, 'out')"
        )
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.strip() in ("True out", "False in"), done.stderr


def test_formulas_and_control_characters_are_taken_out(tmp_path):
    path = tmp_path / "=x.ipynb"
    about = grading.Submission(path, "=HYPERLINK(1)", None)
    graded = grading.Graded(about, [grading.Verdict("", "broken", grading._clean("\x1b[2Jno"))])
    grading.write_csv([graded], tmp_path / "marks.csv", tmp_path)
    said = (tmp_path / "marks.csv").read_text(encoding="utf-8-sig")
    assert "'=HYPERLINK" in said
    assert "\x1b" not in said


def test_every_exercise_of_the_course_has_a_checker_the_grader_finds():
    for lesson in lessons.lessons(Path(cli.course_lib.__file__).parent.parent):
        for exercise in lesson.exercises:
            one = getattr(exercises, exercise.checker)
            assert one.__module__ != frame.__name__
            assert exercise.call.startswith("check.")


def test_the_environment_keeps_no_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    given = grading.environment(str(tmp_path))
    assert "HF_TOKEN" not in given
    assert given["TMPDIR"] == given["COURSE_CACHE"] == str(tmp_path)
    assert given["PATH"] == os.environ["PATH"]
