"""The instructor's commands; `course_lib.cli` adds them to `course`.

What they need is imported when it is needed: `course doctor` must be able to speak where torch
cannot, and `course --help` should not wait for it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from course_lib.errors import CourseError

PANEL = "For instructors"
Told = Callable[[], AbstractContextManager]

LESSONS_HELP = "Their numbers (3, 5b; 5 means all its parts) or files. Default: every lesson."
KERNEL_HELP = "The Jupyter kernel to run them in, by name. Default: this Python."
JOBS_HELP = "How many at a time; each is a process that uses the CPU."
ANYWAY_HELP = "Run the lessons even where the doctor has found an error."
JUNIT_HELP = "Write the results here, in JUnit's XML."
HTML_HELP = "Write one page with all of it here."
TO_HELP = "A new or empty folder: it gets student/ and teacher/."
DIR_HELP = "The folder with what was handed in, at any depth."
SECONDS_HELP = "What the code of one notebook may take, all its exercises together."
CSV_HELP = "Write every verdict here, with the checker's whole message."


def add(app: typer.Typer, told: Told) -> None:
    """Add `doctor`, `check`, `release` and `grade`. told: turns known errors into a message."""

    def command(run: Callable) -> None:
        app.command(rich_help_panel=PANEL)(told()(run))

    for run in (doctor, check, release, grade):
        command(run)


def _writable(*files: Path | None) -> None:
    """Before the lessons are run, not after, it is said that a result cannot be written."""
    for file in filter(None, files):
        if file.is_dir():
            raise CourseError(f"{file} is a folder: name a file in it")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Is this machine ready for the course? One line a finding, each with its cure.

    It looks at Python, packages, torch with torchvision, the kernel, the GPU, disk, cache, data,
    weights and fonts. Its status is 1 where it has found an error.
    """
    from course_lib.teaching import doctor as room

    found = []
    for finding in room.examine():
        found.append(finding)
        if not as_json:
            typer.echo(str(finding))
    if as_json:
        whole = [finding.data() for finding in found]
        typer.echo(json.dumps(whole, indent=1, ensure_ascii=False))
    else:
        wrong = [sum(one.level == level for one in found) for level in (room.ERROR, room.WARNING)]
        typer.echo("errors: {}, warnings: {}".format(*wrong))
    if any(finding.level == room.ERROR for finding in found):
        raise typer.Exit(1)


def check(
    lessons: Annotated[list[str] | None, typer.Argument(help=LESSONS_HELP)] = None,
    kernel: Annotated[str | None, typer.Option(help=KERNEL_HELP)] = None,
    jobs: Annotated[int, typer.Option(min=1, help=JOBS_HELP)] = 1,
    junit: Annotated[Path | None, typer.Option(help=JUNIT_HELP)] = None,
    page: Annotated[Path | None, typer.Option("--html", help=HTML_HELP)] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help=ANYWAY_HELP)] = False,
) -> None:
    """Run the lessons and compare what comes out with what is stored, as students will see it.

    First the doctor; then each lesson in a process of its own, a line when it is done; at the end a
    table, with the first difference of each that failed. Its status is 1 where one did.
    """
    from course_lib.teaching import checking
    from course_lib.teaching import doctor as room
    from course_lib.teaching.lessons import checkout, chosen

    _writable(junit, page)
    root = checkout(checking.NEEDS)
    wanted = chosen(root, lessons or [])
    checking.require_nbval()
    if kernel:
        checking.require_kernel(kernel)
    findings = list(room.examine())
    for finding in findings:
        if finding.level != room.OK:
            typer.echo(str(finding))
    if any(one.level == room.ERROR for one in findings) and not anyway:
        raise CourseError("mend these first, or add --anyway")
    typer.echo(f"the doctor is done; lessons to run: {len(wanted)}")
    done, started = 0, time.monotonic()

    def tell(result: checking.Result) -> None:
        nonlocal done
        done += 1
        typer.echo(
            f"{done} of {len(wanted)}: {result.lesson}, {result.seconds:.0f} s, {result.verdict}"
        )

    results = checking.run(root, wanted, kernel, jobs, tell)
    typer.echo("\n" + checking.table(results))
    typer.echo(f"\n{checking.summary(results)}, {time.monotonic() - started:.0f} s")
    if junit:
        checking.write_junit(results, junit)
    if page:
        checking.write_page(results, findings, page)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def release(
    to: Annotated[Path, typer.Option("--to", help=TO_HELP)],
) -> None:
    """Write the lessons to hand out: an edition for students, and one for the teacher.

    The students' has neither solutions nor outputs; its exercises and their checkers are all there,
    and so are the figures. The teacher's is the lessons as they are.
    """
    from course_lib.teaching import lessons, releasing

    for name, files in releasing.release(lessons.checkout(), to).items():
        typer.echo(f"{to / name}: {files} files")


def grade(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=DIR_HELP)],
    seconds: Annotated[float, typer.Option(min=1, help=SECONDS_HELP)] = 240,
    jobs: Annotated[int, typer.Option(min=1, help=JOBS_HELP)] = 1,
    table: Annotated[Path | None, typer.Option("--csv", help=CSV_HELP)] = None,
) -> None:
    """Grade the notebooks that students handed in, by the lessons' own checkers.

    ✓ right · ✗ wrong, and the checker's first words · ○ not answered · ⏱ out of time. A student's
    name is what the file's name says beside the lesson's, else that of its folder.

    Code of others runs here. It is kept off the network and from your files, but this is no prison:
    docs/teaching.md says how far it goes.
    """
    from course_lib.teaching import grading
    from course_lib.teaching.lessons import checkout, lessons

    _writable(table)
    submissions = grading.collect(folder, lessons(checkout()))
    done = 0

    def tell(graded: grading.Graded) -> None:
        nonlocal done
        done += 1
        signs = "".join(grading.SIGNS[verdict.kind] for verdict in graded.verdicts)
        name = os.fspath(graded.submission.path.relative_to(folder))
        typer.echo(f"{done} of {len(submissions)}: {name}  {signs}")

    results = grading.grade(submissions, seconds, jobs, tell)
    columns = shutil.get_terminal_size((grading.WIDE, 24)).columns
    for text in grading.tables(results, columns):
        typer.echo("\n" + text)
    if any(one.apart is False for one in results):
        typer.echo("\nThe network was closed by Python alone: this system gives no other.")
    if table:
        grading.write_csv(results, table, folder)
