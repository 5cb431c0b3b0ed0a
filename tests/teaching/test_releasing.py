"""`course release`: what is in which edition, and always the same bytes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_lib import cli
from course_lib.teaching import lessons, releasing
from tools.notebooks import ROOT


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_two_releases_are_the_same_bytes(course, tmp_path):
    for name in ("a", "b"):
        said = CliRunner().invoke(cli.app, ["release", "--to", str(tmp_path / "deep" / name)])
        assert said.exit_code == 0, said.output
    one, other = (contents(tmp_path / "deep" / name) for name in ("a", "b"))
    assert one == other
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["a", "b"]
    for edition in ("student", "teacher"):
        assert {name for name in one if name.startswith(edition)} == {
            f"{edition}/{name}"
            for name in (
                *("README.md", "SHA256SUMS", "benchmarks/README.md"),
                *("notebooks/02_sizes.ipynb", "notebooks/03_fine.ipynb"),
                "notebooks/figures/badge.svg",
            )
        }


def test_students_get_exercises_and_no_answers(course, tmp_path):
    releasing.release(course, tmp_path / "out")
    path = tmp_path / "out" / "student" / "notebooks" / "02_sizes.ipynb"
    said = path.read_text(encoding="utf-8")
    assert "SECRET" not in said
    assert "Because" not in said
    assert said.count("check.") == 2
    cells = json.loads(said)["cells"]
    assert [cell["id"] for cell in cells][-1] == "solution-2"
    assert "".join(cells[-1]["source"]) == "Before.\n\nAfter."
    assert "solution-1" not in [cell["id"] for cell in cells]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    here = [one.exercises for one in lessons.lessons(course)]
    assert [one.exercises for one in lessons.lessons(tmp_path / "out" / "student")] == here


def test_the_teachers_edition_is_the_lessons_themselves(course, tmp_path):
    releasing.release(course, tmp_path / "out")
    for path in (course / "notebooks").glob("*.ipynb"):
        copy = tmp_path / "out" / "teacher" / "notebooks" / path.name
        assert copy.read_bytes() == path.read_bytes()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(course, tmp_path):
    (tmp_path / "out").mkdir()
    releasing.release(course, tmp_path / "out")  # an empty one is filled
    before = contents(tmp_path / "out")
    said = CliRunner().invoke(cli.app, ["release", "--to", str(tmp_path / "out")])
    assert said.exit_code == 1
    assert "is not empty" in said.output
    assert contents(tmp_path / "out") == before


def test_nothing_is_left_of_a_release_that_failed(course, tmp_path):
    (course / "notebooks" / "03_fine.ipynb").write_text("cut off")
    with pytest.raises(lessons.LessonsError, match="03_fine"):
        releasing.release(course, tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_courses_own_lessons_lose_every_solution():
    for lesson in lessons.lessons(ROOT):
        rest = releasing.student(lessons.read(lesson.path))
        texts = list(map(lessons.source, rest["cells"]))
        assert not any("<details><summary>Solution" in one for one in texts)
        tasks = sum(one.startswith("**Exercise") for one in texts)
        assert tasks == len(lesson.exercises) >= 3
        assert sum("exercise" in lessons.tags(cell) for cell in rest["cells"]) == tasks
