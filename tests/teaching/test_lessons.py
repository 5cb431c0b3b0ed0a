"""The lessons as files, and what docs/teaching.md says of them."""

import re
from pathlib import Path

import pytest

import course_lib
from course_lib.teaching import lessons
from tools.notebooks import ROOT

from .conftest import sizes, text, write


def test_names_choose_lessons(course):
    assert [one.name for one in lessons.chosen(course, [])] == ["2", "3"]
    for name in ("3", "03", "03_fine", "notebooks/03_fine.ipynb"):
        assert [one.name for one in lessons.chosen(course, [name])] == ["3"]
    with pytest.raises(lessons.LessonsError, match="no lesson '7'; the lessons are 2, 3"):
        lessons.chosen(course, ["7"])


def test_a_number_means_all_its_parts():
    assert [one.name for one in lessons.chosen(ROOT, ["5"])] == ["5a", "5b", "5c"]
    assert [one.name for one in lessons.chosen(ROOT, ["5b", "1"])] == ["1", "5b"]


def test_exercises_are_read_from_the_lesson(course):
    first, second = lessons.lessons(course)[0].exercises
    assert (first.number, first.minutes, first.cell) == ("2.1", 8, "answer-1")
    assert first.call == "check.output_side(side_after)"
    assert second.checker == "variety"


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        ("**Time**: 45 minutes to read and play, 40 for the four exercises;", (45, 40)),
        ("**Time** about 50 minutes to read, and 34 for the exercises (8).", (50, 34)),
        ("**Time** two sittings: 55 minutes and 50, of which 50 for the exercises.", (55, 50)),
        ("**Time** about 45 minutes to read; a minute to run.", (45, 18)),  # 8 + 10
    ],
)
def test_minutes_are_read_from_the_header(course, time, minutes):
    path = course / "notebooks" / "02_sizes.ipynb"
    header = "# 2 · Sizes\n\n" + time
    write(path, [text(header, "head"), *sizes()[1:]])
    lesson = lessons.Lesson(path)
    assert (lesson.reading, lesson.working) == minutes


def test_every_exercise_of_the_course_is_known():
    known = [one.exercises for one in lessons.lessons(ROOT)]
    assert all(len(exercises) >= 3 for exercises in known)
    numbers = [exercise.number for exercises in known for exercise in exercises]
    assert len(set(numbers)) == len(numbers)


def test_a_checkout_is_found_from_inside_and_its_lack_is_named(course, monkeypatch):
    monkeypatch.chdir(course / "notebooks" / "figures")
    assert lessons.checkout(("notebooks", "nbval.cfg")) == course
    (course / "nbval.cfg").unlink()
    monkeypatch.setattr(lessons, "__file__", "/nowhere/a/b/c.py")
    with pytest.raises(lessons.LessonsError, match=r"checkout of the course: nbval.cfg is not in"):
        lessons.checkout(("notebooks", "nbval.cfg"))


@pytest.mark.parametrize("content", ["", '{"cells": [', "[]", '{"cells": [{}]}', '{"cells": [1]}'])
def test_what_is_no_notebook_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "cut.ipynb"
    path.write_text(content)
    with pytest.raises(lessons.LessonsError, match=r"cut.ipynb is no notebook"):
        lessons.read(path)


def test_the_timetable_agrees_with_the_headers():
    """The minutes of docs/teaching.md are those of the lessons and their exercises."""
    said = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    assert lessons.timetable(lessons.lessons(ROOT)) in said


def test_the_guide_names_only_what_is_there():
    said = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", said):
        assert target.startswith("http") or (ROOT / "docs" / target).exists(), target
    helps = (Path(course_lib.__file__).parent / "teaching" / "commands.py").read_text("utf-8")
    for option in re.findall(r"(?<![\w-])--[a-z]+", "".join(re.findall(r"`course [^`]*`", said))):
        assert f'"{option}"' in helps or f"    {option[2:]}:" in helps, option
