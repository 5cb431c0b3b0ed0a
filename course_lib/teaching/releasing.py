"""Two editions of the lessons: the students', without solutions and outputs, and the teacher's.

The same lessons give the same bytes, whoever makes the editions, wherever and whenever.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from course_lib.errors import CourseError
from course_lib.files import sha256
from course_lib.teaching.lessons import SOLUTION, lessons, read, source

LINK = re.compile(r"\]\(([^)\s]+)\)|<img\b[^>]*?\bsrc=[\"']([^\"']+)")
SUMS = "SHA256SUMS"


class ReleaseError(CourseError):
    """An edition cannot be written there; the message says why."""


def release(root: Path, to: Path) -> dict[str, int]:
    """Write `to`/student and `to`/teacher; returns how many files each has.

    Beside the lessons they hold what these link to (figures, tables), and SHA256SUMS of it all.
    ReleaseError, and nothing is written, where `to` is a file or a folder with something in it.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ReleaseError(f"{to} is not empty: name a new folder, or empty it yourself")
    to = to.resolve()
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f".{to.name}.{uuid.uuid4().hex}")
    try:
        counts = {name: _edition(root, temporary / name, name) for name in ("student", "teacher")}
        if to.exists():
            to.rmdir()
        temporary.rename(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return counts


def _edition(root: Path, folder: Path, kind: str) -> int:
    folder.mkdir(parents=True)
    known = lessons(root)
    linked: set[PurePosixPath] = set()
    for lesson in known:
        place = folder / lesson.path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "student":
            place.write_text(_text(student(read(lesson.path))), encoding="utf-8", newline="\n")
        else:
            place.write_bytes(lesson.path.read_bytes())
        linked |= set(links(read(place), lesson.path, root))
    for name in sorted(linked - {PurePosixPath(one.path.relative_to(root)) for one in known}):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((root / name).read_bytes())
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    sums = [f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8", newline="\n")
    return len(files) + 1


def student(notebook: dict[str, Any]) -> dict[str, Any]:
    """A lesson without its folded solutions and outputs. Cells keep their ids: `grade` knows them.

    A cell that held nothing but a solution is left out.
    """
    cells = []
    for cell in notebook["cells"]:
        cell = dict(cell)
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        else:
            text = source(cell)
            rest = SOLUTION.sub("", text)
            if rest != text:
                if not rest.strip():
                    continue
                cell["source"] = rest.rstrip().splitlines(keepends=True)
        cells.append(cell)
    return notebook | {"cells": cells}


def links(notebook: dict[str, Any], path: Path, root: Path) -> Iterator[PurePosixPath]:
    """The files of the checkout that a lesson's texts lead to, from its root."""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for pair in LINK.findall(source(cell)):
            target = unquote((pair[0] or pair[1]).partition("#")[0])
            if not target or re.match(r"[a-z]+:", target):
                continue
            place = (path.parent / target).resolve()
            if place.is_file() and place.is_relative_to(root.resolve()):
                yield PurePosixPath(place.relative_to(root.resolve()).as_posix())


def _text(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
