"""The lessons as files: where they are, how long they take, and what their exercises ask.

Read as JSON: what is here runs where nbformat and torch do not.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError

SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\s*", re.DOTALL)
TITLE = re.compile(r"# (\d+[a-z]?) · (.+)")
TASK = re.compile(r"\*\*Exercise (\d+\.\d+)\*\* ★+ \((\d+) min\)")
WORKING = re.compile(r"(\d+)(?: minutes)? for the (?:\w+ )?exercises")
READING = re.compile(r"\*\*Time\**:?\**:? (?:about )?(\d+) minutes? to read")
SITTINGS = re.compile(r"sittings: (\d+) minutes and (\d+)")  # of reading and exercises together


class LessonsError(CourseError):
    """The lessons cannot be found or read; the message says what is missing, and where."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson: its number ("2.1"), its cell's id, and the call that judges it."""

    number: str
    minutes: int
    cell: str
    call: str

    @property
    def checker(self) -> str:
        """The name of its checker in `course_lib.exercises`."""
        return ast.parse(self.call).body[0].value.func.attr


@dataclass(frozen=True)
class Lesson:
    """One notebook of the course."""

    path: Path

    @property
    def name(self) -> str:
        """Its number: "5a"."""
        return self.path.stem.split("_")[0].lstrip("0")

    @property
    def cells(self) -> list[dict[str, Any]]:
        return read(self.path)["cells"]

    @property
    def title(self) -> str:
        found = TITLE.match(source(self.cells[0]))
        return found[2] if found else self.path.stem

    @property
    def reading(self) -> int:
        """The minutes to read that its header states."""
        head = source(self.cells[0])
        if sittings := SITTINGS.search(head):
            return sum(map(int, sittings.groups())) - self.working
        found = READING.search(head)
        if not found:
            raise LessonsError(f"the header of {self.path.name} does not say how long it is read")
        return int(found[1])

    @property
    def working(self) -> int:
        """The minutes for the exercises: its header's, else the sum of what each of them states."""
        found = WORKING.search(source(self.cells[0]))
        return int(found[1]) if found else sum(one.minutes for one in self.exercises)

    @property
    def exercises(self) -> list[Exercise]:
        """In order: each a text `**Exercise 2.1** ★ (8 min)`, then a cell tagged `exercise`."""
        found, task = [], None
        for i, cell in enumerate(self.cells):
            if cell["cell_type"] == "markdown":
                task = TASK.match(source(cell)) or task
            elif "exercise" in tags(cell) and task:
                call = source(cell).strip().splitlines()[-1]
                number, minutes = task[1], int(task[2])
                found.append(Exercise(number, minutes, cell.get("id", str(i)), call))
        return found


def read(path: Path) -> dict[str, Any]:
    """A notebook; LessonsError where the file is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        list(map(source, notebook["cells"]))
    except OSError as error:
        raise LessonsError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LessonsError(f"{path.name} is no notebook of format 4: it may be cut off") from error
    return notebook


def source(cell: dict[str, Any]) -> str:
    """The text of a cell, which is a string or a list of lines."""
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def checkout(needs: Sequence[str] = ("notebooks",)) -> Path:
    """The course's folder: here or above, or where this package lies.

    needs: what it must hold. LessonsError names what is missing.
    """
    here = Path.cwd()
    places = [here, *here.parents, Path(__file__).resolve().parents[2]]
    for place in places:
        if all((place / name).exists() for name in needs) and lessons(place):
            return place
    nearest = next((place for place in places if lessons(place)), here)
    missing = [name for name in needs if not (nearest / name).exists()] or ["notebooks/*.ipynb"]
    raise LessonsError(
        f"this needs a checkout of the course: {', '.join(missing)} is not in {nearest}. The "
        "installed package has the library and the data, not the lessons. Clone the repository and "
        "call the command inside it."
    )


def lessons(root: Path) -> list[Lesson]:
    """The course's lessons, in order."""
    return [Lesson(path) for path in sorted((root / "notebooks").glob("[0-9]*_*.ipynb"))]


def chosen(root: Path, names: Sequence[str]) -> list[Lesson]:
    """Those that are named by number ("5" means all its parts) or by file; without names, all."""
    known = lessons(root)
    if not names:
        return known
    found: list[Lesson] = []
    for name in names:
        wanted = list(_named(known, name))
        if not wanted:
            there = ", ".join(lesson.name for lesson in known)
            raise LessonsError(f"there is no lesson {name!r}; the lessons are {there}")
        found += [lesson for lesson in wanted if lesson not in found]
    return sorted(found, key=lambda lesson: lesson.path.name)


def _named(known: list[Lesson], name: str) -> Iterator[Lesson]:
    stem = Path(name).stem
    for lesson in known:
        number = stem.lstrip("0").lower()
        if lesson.path.stem == stem or number in (lesson.name, lesson.name.rstrip("abc")):
            yield lesson


def timetable(known: Sequence[Lesson]) -> str:
    """A table of the minutes that the lessons state, to read and for the exercises."""
    lines = ["| Lesson | Read | Exercises | Together |", "|---|---:|---:|---:|"]
    rows = [(f"{one.name} · {one.title}", one.reading, one.working) for one in known]
    rows.append(("All", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    lines += [f"| {name} | {read_} | {work} | {read_ + work} |" for name, read_, work in rows]
    return "\n".join(lines)
