"""What students handed in, graded by the course's own checkers.

Every notebook runs in a process of its own (`pupil`), with a time limit, without a network. This is
no prison: see docs/teaching.md for what it keeps out and what not.
"""

from __future__ import annotations

import csv
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.files import atomic
from course_lib.teaching.lessons import Exercise, Lesson, LessonsError, read, source

SIGNS = {"right": "✓", "wrong": "✗", "waiting": "○", "time limit": "⏱", "broken": "✗"}
LONGEST_START = 180  # seconds until torch is there; a busy machine takes 20
LONGEST_WAIT = 1.0  # seconds until Ctrl-C is seen
WIDE = 200  # letters of a line, where there is no terminal that has fewer
LETTERS = (30, 20, 12, 0)  # of a verdict in a table, the most that fit; the CSV has all of it
WORDS = "lessons?|assignments?|exercises?|homework|week|notebooks?|ps"
WORDS += "|student|ai-painting-course(-main)?"  # what was handed out, handed in as a whole
ASIDE = re.compile(rf"({WORDS})?[\W_]*\d+[a-c]?|{WORDS}")  # folders that name no student
FORMULA = ("=", "+", "-", "@")
COPY = re.compile(r"[\s_-]*(copy\d*|\(\d+\))", re.IGNORECASE)


class GradingError(CourseError):
    """There is nothing to grade; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """On one exercise of one notebook. kind is one of SIGNS; seconds include the cells it needs."""

    number: str
    kind: str
    message: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Submission:
    """One notebook that was handed in. lesson is None where none of the course's is like it."""

    path: Path
    student: str
    lesson: Lesson | None
    complaint: str = ""


@dataclass(frozen=True)
class Graded:
    """A submission and its verdicts. apart: whether the kernel kept its process off the network."""

    submission: Submission
    verdicts: list[Verdict]
    apart: bool | None = None


def collect(folder: Path, known: Sequence[Lesson]) -> list[Submission]:
    """The notebooks below a folder, in the order of their paths, with student and lesson.

    A notebook that cannot be read, or that belongs to no lesson, is among them, with its complaint.
    Two students of one name are told apart by their folders.
    """
    if not folder.is_dir():
        raise GradingError(f"{folder} is no folder")
    found = [
        path
        for path in sorted(folder.rglob("*.ipynb"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise GradingError(f"there is no notebook (*.ipynb) in {folder}")
    ids = {lesson: {cell.get("id") for cell in lesson.cells} for lesson in known}
    submissions = []
    for path in found:
        lesson = next((one for one in known if one.path.stem in path.stem), None)
        complaint = ""
        try:
            cells = read(path)["cells"]
            lesson = lesson or _alike(cells, ids)
        except LessonsError as error:
            complaint = str(error)
        if lesson is None and not complaint:
            complaint = f"{path.name} is like none of the course's lessons"
        submissions.append(Submission(path, student(path, folder, lesson), lesson, complaint))
    return _told_apart(submissions, folder)


def _told_apart(submissions: list[Submission], folder: Path) -> list[Submission]:
    """With the folders behind a name that handed in one lesson from several: "kim (group b)"."""
    places: dict[tuple[str, Lesson | None], set[Path]] = {}
    for one in submissions:
        places.setdefault((one.student, one.lesson), set()).add(one.path.parent)
    shared = {name for (name, _), parents in places.items() if len(parents) > 1}

    def named(one: Submission) -> Submission:
        inside = [part for part in one.path.relative_to(folder).parts[:-1] if part != one.student]
        if one.student not in shared or not inside:
            return one
        return replace(one, student=f"{one.student} ({'/'.join(inside)})")

    return list(map(named, submissions))


def _alike(cells: list[dict[str, Any]], ids: dict[Lesson, set]) -> Lesson | None:
    """The lesson with the most cells in common, by their ids; else by the checkers it calls."""
    here = {cell.get("id") for cell in cells} - {None}
    text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")

    def common(lesson: Lesson) -> tuple[int, int]:
        called = sum(f"check.{one.checker}(" in text for one in lesson.exercises)
        return len(here & ids[lesson]), called

    best = max(ids, key=common, default=None)
    return best if best and any(common(best)) else None


def student(path: Path, folder: Path, lesson: Lesson | None) -> str:
    """A student's name: what the file's name says beside the lesson's, else the nearest folder's.

    Folders such as "lesson 2", "week_3" or a lesson's own name are passed over.
    """
    stem = path.stem.replace(lesson.path.stem, "") if lesson else path.stem
    own = COPY.sub("", stem).strip(" _-.")
    inside = path.relative_to(folder).parts[:-1]
    if own and (lesson is None or lesson.path.stem in path.stem or not inside):
        return own
    for name in reversed(inside):
        if not ASIDE.fullmatch(name.lower()) and (lesson is None or name != lesson.path.stem):
            return name
    return own or path.stem


def grade(
    submissions: Sequence[Submission],
    seconds: float,
    jobs: int = 1,
    report: Callable[[Graded], None] = lambda graded: None,
) -> list[Graded]:
    """Grade notebooks, `jobs` at a time; `report` hears of each when it is done.

    seconds: what the code of one notebook may take, all its exercises together.
    """
    stopped = threading.Event()

    def one(submission: Submission) -> Graded:
        graded = _grade(submission, seconds, stopped)
        if not stopped.is_set():  # else it is what Ctrl-C has left of it
            report(graded)
        return graded

    if jobs == 1:  # in this thread, so that Ctrl-C ends the process that it waits for
        return list(map(one, submissions))
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            return list(pool.map(one, submissions))
        except BaseException:  # Ctrl-C, which the processes do not hear: end them, begin no others
            stopped.set()
            raise


def _grade(submission: Submission, seconds: float, stopped: threading.Event) -> Graded:
    """Verdicts on all exercises. One that has no end, or ends Python, is stepped over.

    While others wait, an exercise may take half of the time that is left: so an endless loop in the
    first does not hide the others. The process is then ended, and a new one goes on behind it.
    """
    if submission.complaint or submission.lesson is None:
        names = submission.lesson.exercises if submission.lesson else []
        broken = [Verdict(one.number, "broken", submission.complaint) for one in names]
        return Graded(submission, broken or [Verdict("", "broken", submission.complaint)])
    waiting, left, verdicts = list(submission.lesson.exercises), seconds, []
    apart = None
    while waiting and not stopped.is_set():
        if left <= 0:
            verdicts += [_late(one, "not reached: the notebook's time was up") for one in waiting]
            break
        with Pupil(submission.path, waiting, stopped) as pupil:
            if pupil.gone:
                verdicts += [Verdict(one.number, "broken", pupil.why) for one in waiting]
                break
            apart = pupil.apart if apart is None else apart and pupil.apart
            while waiting and not pupil.gone:
                exercise = waiting.pop(0)
                allowed = left / 2 if waiting else left
                verdict = pupil.verdict(exercise, allowed)
                left -= verdict.seconds
                verdicts.append(verdict)
    return Graded(submission, verdicts, apart)


def _late(exercise: Exercise, message: str, seconds: float = 0.0) -> Verdict:
    return Verdict(exercise.number, "time limit", message, seconds)


class Pupil:
    """The process that runs a notebook's exercises, from here."""

    def __init__(self, path: Path, exercises: Sequence[Exercise], stopped: threading.Event) -> None:
        self.stopped = stopped
        self.token = secrets.token_hex(16)  # what the student's code prints is no verdict
        self.folder = tempfile.TemporaryDirectory(
            prefix="course-grade-", ignore_cleanup_errors=True
        )
        self.gone, self.apart, self.why = False, False, ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.teaching.pupil"],
            cwd=self.folder.name,
            env=environment(self.folder.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        asked = [{"number": one.number, "cell": one.cell, "call": one.call} for one in exercises]
        job = {"token": self.token, "notebook": str(path.resolve()), "exercises": asked}
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.close()
        first = self._next(time.monotonic() + LONGEST_START)
        if first is None or "ready" not in first:
            self.gone = True
            self.why = (first or {}).get("broken", "the process that grades could not start")
        else:
            self.apart = first["apart"]

    def __enter__(self) -> Pupil:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all that it has started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def verdict(self, exercise: Exercise, allowed: float) -> Verdict:
        """On the next exercise; after one that took longer, or ended Python, the pupil is gone."""
        started = time.monotonic()
        while True:
            said = self._next(started + allowed)
            took = time.monotonic() - started
            if said is None:
                self.gone = True
                if took >= allowed:
                    return _late(exercise, f"not done after {took:.0f} seconds", took)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(5)
                status = self.process.returncode
                return Verdict(exercise.number, "wrong", f"It ended Python, status {status}.", took)
            if said.get("number") == exercise.number:
                return Verdict(exercise.number, said["kind"], _clean(said["message"]), took)

    def _next(self, deadline: float) -> dict[str, Any] | None:
        """The next line with the token; None when the process is gone, stopped, or late."""
        while not self.stopped.is_set():
            left = max(0.0, deadline - time.monotonic())
            try:
                line = self.lines.get(timeout=min(left, LONGEST_WAIT))
            except queue.Empty:
                if left > LONGEST_WAIT:
                    continue
                return None
            if line is None:
                return None
            token, _, said = line.partition(" ")
            if secrets.compare_digest(token.encode(), self.token.encode()):
                return json.loads(said)
        return None

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)


def environment(folder: str) -> dict[str, str]:
    """Of a pupil: the lessons' quick budget on a CPU, caches and temporary files in `folder`."""
    own = {
        "COURSE_DEVICE": "cpu",
        "COURSE_BUDGET": "quick",
        "MPLBACKEND": "Agg",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
    places = ("TMPDIR", "TEMP", "TMP", "COURSE_CACHE", "HF_HOME", "MPLCONFIGDIR", "IPYTHONDIR")
    kept = {name: value for name, value in os.environ.items() if not _secret(name)}
    return kept | own | dict.fromkeys((*places, "XDG_CACHE_HOME", "TORCH_HOME"), folder)


def _secret(name: str) -> bool:
    """Keys and passwords of the instructor's are nothing for a student's code."""
    return any(word in name.upper() for word in ("TOKEN", "SECRET", "PASSW", "API_KEY", "AWS_"))


def _clean(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def tables(results: Sequence[Graded], columns: int = WIDE) -> Iterator[str]:
    """A table a lesson, student × exercise; then the notebooks that could not be graded.

    columns: of the terminal; where a table is wider, verdicts lose words.
    """
    known = {one.submission.lesson for one in results if one.submission.lesson}
    for lesson in sorted(known, key=lambda one: one.path.name):
        here = [one for one in results if one.submission.lesson == lesson]
        heads = [exercise.number for exercise in lesson.exercises]
        for letters in LETTERS:
            rows = [_row(one, here, heads, letters) for one in here]
            rows.insert(0, [f"{lesson.name} · {lesson.title}", *heads])
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            if sum(widths) + 2 * len(heads) < columns:
                break
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        yield "\n".join(lines)
    lost = [one for one in results if any(verdict.kind == "broken" for verdict in one.verdicts)]
    if lost:
        lines = [f"  {one.submission.path}: {one.verdicts[0].message}" for one in lost]
        yield "\n".join(["Not graded:", *lines])


def _row(graded: Graded, here: Sequence[Graded], heads: Sequence[str], letters: int) -> list[str]:
    name = _clean(graded.submission.student)
    if sum(one.submission.student == graded.submission.student for one in here) > 1:
        name += f" ({_clean(graded.submission.path.parent.name)}/{graded.submission.path.name})"
    cells = {verdict.number: _cell(verdict, letters) for verdict in graded.verdicts}
    return [name, *(cells.get(head, "") for head in heads)]


def _cell(verdict: Verdict, letters: int) -> str:
    sign = SIGNS[verdict.kind]
    if verdict.kind in ("right", "waiting") or not letters:
        return sign
    message = "broken notebook" if verdict.kind == "broken" else verdict.message
    words = message if len(message) <= letters else message[: letters - 1].rstrip() + "…"
    return f"{sign} {words}"


def write_csv(results: Sequence[Graded], path: Path, folder: Path) -> None:
    """A line a verdict. Before what a spreadsheet would take for a formula stands an apostrophe."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["student", "file", "lesson", "exercise", "verdict", "message", "seconds"])
        for one in results:
            about = one.submission
            lesson = about.lesson.name if about.lesson else ""
            for verdict in one.verdicts:
                row = [
                    *(about.student, about.path.relative_to(folder).as_posix(), lesson),
                    *(verdict.number, verdict.kind, verdict.message, f"{verdict.seconds:.1f}"),
                ]
                lines.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in row])
