"""Run lessons as the tests do, under nbval, and say which of them differ from what is stored.

nbval and pytest are of the extra `test`. Each lesson runs in a process of its own, so that one that
brings its kernel down takes no other with it.
"""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.files import atomic
from course_lib.teaching import comparing
from course_lib.teaching.doctor import Finding
from course_lib.teaching.lessons import Lesson

NEEDS = ("notebooks", "nbval.cfg")
NBVAL = ("--nbval-cell-timeout=300", "--nbval-sanitize-with", "nbval.cfg")  # as in the Makefile
STORED = {"COURSE_DEVICE": "cpu", "COURSE_BUDGET": "quick"}  # how the stored outputs were made
LATE = re.compile(r"Cell \d+: (Timeout of .*)")  # nbval's words; it counts cells from 0
COLOUR = re.compile(r"(?:\x1b|#x1B)\[[\d;]*m")
SHORT = 160  # letters of a difference in the table; the page and the XML have all of it


class CheckingError(CourseError):
    """Lessons cannot be run; the message says what is missing."""


@dataclass(frozen=True)
class Difference:
    """Where a lesson first differs from what is stored, or stops. cell: of the code cells, from 1.

    expected and found are whole; found alone is an error's last line.
    """

    cell: int
    expected: str
    found: str

    def __str__(self) -> str:
        found = f"found {_brief(self.found)}"
        if self.expected:
            found = f"expected {_brief(self.expected)}, {found}"
        return f"code cell {self.cell}: {found}" if self.cell else found


@dataclass(frozen=True)
class Result:
    """What came of one lesson."""

    lesson: str
    cells: int
    wrong: int
    seconds: float
    difference: Difference | None
    report: ElementTree.Element | None  # JUnit's <testsuite>

    @property
    def passed(self) -> bool:
        return self.difference is None and self.cells > 0

    @property
    def verdict(self) -> str:
        if self.passed:
            return "ok"
        return f"{self.wrong} of {self.cells} cells differ" if self.cells else "did not run"


def _brief(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


def require_nbval() -> None:
    """CheckingError, with the cure, where pytest or nbval is not installed."""
    missing = [name for name in ("pytest", "nbval") if importlib.util.find_spec(name) is None]
    if missing:
        raise CheckingError(
            f"{' and '.join(missing)} is not installed: lessons are compared by nbval, of the "
            'extra `test`. In the checkout: python -m pip install -c constraints.txt -e ".[test]"'
        )


def require_kernel(name: str) -> None:
    """CheckingError, with those that are here, where no Jupyter kernel of that name can start."""
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    known = manager.find_kernel_specs()
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise CheckingError(f"there is no kernel named {name!r}; the kernels here are: {there}")
    try:
        program = manager.get_kernel_spec(name).argv[0]
    except (ValueError, LookupError, TypeError) as error:  # its kernel.json is no kernel's
        raise CheckingError(
            f"the kernel {name!r} cannot be read ({error}): install it anew over {known[name]}"
        ) from None
    if not shutil.which(program):
        raise CheckingError(f"the kernel {name!r} would start {program}, which is not there")


def run(
    root: Path,
    chosen: Sequence[Lesson],
    kernel: str | None = None,
    jobs: int = 1,
    report: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run lessons of the checkout `root`, `jobs` at a time; `report` hears of each when it is done.

    kernel: the name of a Jupyter kernel; without one, this Python's own.
    """
    require_nbval()
    if kernel:
        require_kernel(kernel)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = {pool.submit(_run, root, lesson, kernel): lesson for lesson in chosen}
        results = {}
        try:
            for done in as_completed(waiting):
                results[waiting[done]] = done.result()
                report(done.result())
        except BaseException:  # after Ctrl-C no other lesson is begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[lesson] for lesson in chosen]


def command(lesson: Path, kernel: str | None, xml: Path) -> list[str]:
    """The line that runs one lesson, strictly as `make test` does."""
    where = ("--nbval-kernel-name", kernel) if kernel else ("--nbval-current-env",)
    return [
        *(sys.executable, "-m", "pytest", "--nbval", *where, *NBVAL),
        *("-p", "no:cacheprovider", "-p", comparing.__name__, "-q", f"--junitxml={xml}"),
        str(lesson),
    ]


def _run(root: Path, lesson: Lesson, kernel: str | None) -> Result:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "report.xml"
        done = subprocess.run(
            command(lesson.path.relative_to(root), kernel, xml),
            cwd=root,
            env=os.environ | STORED,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        seconds = time.monotonic() - started
        suite = ElementTree.parse(xml).getroot().find("testsuite") if xml.exists() else None
    name = lesson.path.stem
    cases = [] if suite is None else suite.findall("testcase")
    wrong = [case for case in cases if complaint(case)]
    if wrong:
        difference = difference_in(wrong[0])
    elif not cases or done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["pytest said nothing"]
        said = next((line for line in lines if line.startswith(("E  ", "ERROR"))), lines[-1])
        difference = Difference(0, "", f"pytest ended with status {done.returncode}: {said}")
    else:
        difference = None
    return Result(name, len(cases), len(wrong), seconds, difference, suite)


def complaint(case: ElementTree.Element) -> str:
    """A skipped cell is one too: nbval has given up on those that follow one without an end."""
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            return COLOUR.sub("", found.text or found.get("message") or kind)
    return ""


def difference_in(case: ElementTree.Element) -> Difference:
    number = re.search(r"\d+$", case.get("name", ""))
    cell = int(number[0]) + 1 if number else 0
    lines = complaint(case).splitlines()
    sides = {}
    for line in map(str.strip, lines):
        for mark in (comparing.EXPECTED, comparing.FOUND):
            if line.startswith(mark) and mark not in sides:
                sides[mark] = _text(line.removeprefix(mark))
    if sides:
        return Difference(cell, sides[comparing.EXPECTED], sides.get(comparing.FOUND, ""))
    said = [line for line in map(str.strip, lines) if line]
    telling = [late[1] for line in said if (late := LATE.match(line))]  # not the KeyboardInterrupt
    telling += [line for line in said if "output fields" in line.lower() or line.startswith("E  ")]
    return Difference(cell, "", (telling[:1] or said[-1:] or ["nothing was said"])[0])


def _text(line: str) -> str:
    value = json.loads(line)
    return value if isinstance(value, str) else line


def table(results: Sequence[Result]) -> str:
    """Lesson, cells, seconds, verdict; under a line that failed its first difference."""
    lines = [f"{'lesson':32}{'cells':>6}{'seconds':>9}  verdict"]
    for result in results:
        lines.append(f"{result.lesson:32}{result.cells:>6}{result.seconds:>9.0f}  {result.verdict}")
        lines += [f"    {line}" for line in _sides(result.difference)]
    return "\n".join(lines)


def _sides(difference: Difference | None) -> Iterator[str]:
    if difference is None:
        return
    where = f"code cell {difference.cell}" if difference.cell else "the whole"
    if difference.expected:
        yield f"{where}, expected: {_brief(difference.expected)}"
        yield f"{' ' * len(where)}  found:    {_brief(difference.found)}"
    else:
        yield f"{where}: {_brief(difference.found)}"


def write_junit(results: Sequence[Result], path: Path) -> None:
    """One file of JUnit's XML, a <testsuite> a lesson, without names of this machine."""
    whole = ElementTree.Element("testsuites", name="course check")
    for result in results:
        suite = result.report
        if suite is None or not suite.findall("testcase"):
            suite = ElementTree.Element("testsuite", errors="1", tests="1", failures="0")
            case = ElementTree.SubElement(suite, "testcase", name="the whole lesson")
            ElementTree.SubElement(case, "error", message=str(result.difference))
        suite.set("name", result.lesson)
        suite.set("time", f"{result.seconds:.1f}")
        suite.attrib.pop("hostname", None)
        for part in suite.iter():
            for key, value in part.attrib.items():
                part.set(key, COLOUR.sub("", value))
            part.text = COLOUR.sub("", part.text) if part.text else part.text
        whole.append(suite)
    with atomic(path) as temporary:
        ElementTree.ElementTree(whole).write(temporary, encoding="utf-8", xml_declaration=True)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>course check</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; \
padding: 0 1rem }}
h1, td:last-child {{ overflow-wrap: anywhere }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #bbb; padding: .4rem .6rem; text-align: left; \
vertical-align: top }}
.number {{ text-align: right }}
.wrong {{ font-weight: bold }}
pre {{ white-space: pre-wrap; background: #f3f3f3; color: #000; padding: .6rem; margin: .3rem 0 }}
@media (max-width: 40rem) {{ /* a phone: the verdict, or the finding, below the rest of its row */
tr {{ display: flex; flex-wrap: wrap; border-bottom: 1px solid #bbb }}
td, th {{ border: 0 }}
td:last-child, th:last-child {{ flex: 0 0 100%; box-sizing: border-box; padding-top: 0 }}
}}
</style>
<h1>course check: {summary}</h1>
<p>{when}</p>
<h2>Lessons</h2>
<table><tr><th>Lesson<th class=number>Cells<th class=number>Seconds
<th>Verdict and first difference</tr>
{lessons}
</table>
<h2>This machine</h2>
<table><tr><th>What<th>Level<th>Finding</tr>
{machine}
</table>
</html>
"""


def write_page(results: Sequence[Result], findings: Sequence[Finding], path: Path) -> None:
    """One page that needs no other file."""
    say = html.escape
    rows = []
    for result in results:
        sign = "✓" if result.passed else "✗"
        cell = f"{sign} {say(result.verdict)}"
        if found := result.difference:
            where = f"code cell {found.cell}" if found.cell else "the whole lesson"
            if found.expected:
                cell += f"<br>{where}, expected<pre>{say(found.expected)}</pre>"
                cell += f"found<pre>{say(found.found)}</pre>"
            else:
                cell += f"<br>{where}<pre>{say(found.found)}</pre>"
        kind = "" if result.passed else ' class="wrong"'
        rows.append(
            f"<tr><td{kind}>{say(result.lesson)}<td class=number>{result.cells}"
            f"<td class=number>{result.seconds:.0f}<td>{cell}</tr>"
        )
    machine = [
        f"<tr><td>{say(one.what)}<td>{one.level}<td>{say(one.message)}"
        f"{'<br>→ ' + say(one.cure) if one.cure else ''}</tr>"
        for one in findings
    ]
    page = PAGE.format(
        summary=summary(results),
        when=time.strftime("%Y-%m-%d %H:%M"),
        lessons="\n".join(rows),
        machine="\n".join(machine),
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def summary(results: Sequence[Result]) -> str:
    wrong = [result.lesson for result in results if not result.passed]
    if not wrong:
        return f"all {len(results)} lessons as stored" if len(results) > 1 else "as stored"
    return f"{len(wrong)} of {len(results)} not as stored: {', '.join(wrong)}"
