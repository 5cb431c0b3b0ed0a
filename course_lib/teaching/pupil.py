"""The process in which a student's code runs: `python -m course_lib.teaching.pupil`, for `grade`.

It reads a job (JSON) from its input, cuts itself off the network, and runs exercise after exercise:
first the cells that an exercise needs, then its own, then the course's checker on the answer. Each
verdict goes out on a line that begins with the job's token. What the student prints goes nowhere.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import ctypes
import importlib
import json
import operator
import os
import symtable
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from course_lib.teaching.lessons import LessonsError, read, source

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # of Linux's unshare(2)
LONGEST_MESSAGE = 2000
STOPPED_EVENTS = (  # programs and connections: of Python's audit events, those that start with this
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethost", "socket.sendto"),
    *("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.spawn"),
    *("os.kill", "signal.pthread_kill"),
)
CHANGING_EVENTS = (
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "shutil."),
)
CHECKERS = ("check", "exercises")  # what the lessons, and their readers, call the module
PARTS = ("course_lib", "torch", "torchvision", "numpy", "matplotlib", "diffusers", "transformers")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _FailedError(Exception):
    """An answer is wrong before its checker has seen it; the message says why."""


# --- The walls --------------------------------------------------------------------------------


def cut_network() -> bool:
    """Move this process into a network of its own, which leads nowhere; False where Linux refuses.

    It must be done before there are threads. The kernel sees to it, whatever the code tries.
    """
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_NETWORK):
        return False
    with contextlib.suppress(OSError):  # else the user is "nobody", who may do less
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def forbid(folder: str) -> None:
    """From now on Python opens no connection, starts no program, and writes only in `folder`.

    An audit hook cannot be taken away again; but it sees what Python does, not what C code does.
    """
    folder = os.path.realpath(folder)

    def inside(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a file that is open already
        place = os.path.realpath(os.fsdecode(path))
        return place == os.devnull or place == folder or place.startswith(folder + os.sep)

    def watch(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if (flags or 0) & WRITING and not inside(path):
                raise PermissionError("no file is written outside of the working folder in grading")
        elif event.startswith(STOPPED_EVENTS):
            raise PermissionError(f"no network and no other programs in grading ({event})")
        elif event.startswith(CHANGING_EVENTS) and not all(
            inside(one) for one in arguments[:2] if isinstance(one, str | bytes | os.PathLike)
        ):
            raise PermissionError(f"no file is changed outside of the working folder ({event})")

    sys.addaudithook(watch)


class Seal:
    """What judges an answer, remembered, so that an answer that changed it is found out."""

    def __init__(self) -> None:
        import math

        import numpy
        import torch

        places: list[Any] = [builtins, math, operator, numpy, torch, torch.nn.functional]
        places += [torch.Tensor, torch.nn.Module, torch.linalg, torch.random]
        for name, module in list(sys.modules.items()):
            if name.startswith("course_lib"):
                places.append(module)
                places += [one for one in vars(module).values() if _is_ours(one)]
        self.kept = [(place, dict(self._look(place))) for place in places]

    @staticmethod
    def _look(place: Any) -> Iterator[tuple[str, tuple]]:
        for name, value in list(vars(place).items()):
            if callable(value) or isinstance(value, property | staticmethod | classmethod):
                function = getattr(value, "__wrapped__", value)
                code = getattr(function, "__code__", None)
                kept = getattr(value, "__closure__", None) or ()
                cells = [cell.cell_contents for cell in kept if cell != types.CellType()]
                yield name, (value, code, getattr(function, "__defaults__", None), *cells)

    def broken(self) -> str:
        """The name of what is not as it was, or ""."""
        for place, before in self.kept:
            now = dict(self._look(place))
            for name, parts in before.items():
                others = now.get(name, (None,))
                if len(parts) == len(others) and all(map(operator.is_, parts, others)):
                    continue
                if not _torch_has(name, others[0]):
                    return f"{place.__name__}.{name}"
        return ""


def _torch_has(name: str, value: Any) -> bool:
    """Is it a function that torch itself has put in place of its own, as its compiler does?"""
    code = getattr(value, "__code__", None)
    home = os.path.dirname(sys.modules["torch"].__file__) + os.sep  # noqa: PTH120
    return bool(code) and value.__name__ == name and code.co_filename.startswith(home)


def _is_ours(thing: Any) -> bool:
    return isinstance(thing, type) and thing.__module__.startswith("course_lib")


# --- The notebook -----------------------------------------------------------------------------


def plain(text: str) -> str:
    """A cell's code as Python's: magics become calls of `get_ipython()`."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(text)


def names_of(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The names of the notebook that a statement makes, and those that it uses, functions' too."""
    table = symtable.symtable(ast.unparse(statement), "<cell>", "exec")
    symbols = table.get_symbols()
    makes = {
        one.get_name()
        for one in symbols
        if one.is_assigned() or one.is_imported() or one.is_namespace()
    }
    uses = {one.get_name() for one in symbols if one.is_referenced()}
    todo = list(table.get_children())
    while todo:
        inner = todo.pop()
        uses |= {one.get_name() for one in inner.get_symbols() if one.is_global()}
        todo += inner.get_children()
    return makes, uses


def changed(statements: Sequence[ast.stmt]) -> set[str]:
    """Names of things of which a part is set: `recipe.lr = 1`, `answers["a"] = 2`."""
    found = set()
    for statement in statements:
        for target in getattr(statement, "targets", [getattr(statement, "target", None)]):
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
                if isinstance(target, ast.Name):
                    found.add(target.id)
    return found


def called(tree: ast.AST) -> set[str]:
    """The checkers that some code calls; other modules have functions of the same names."""
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in CHECKERS
    }


class Notebook:
    """The code cells of what was handed in, and what running some of them has made."""

    def __init__(self, cells: Sequence[dict[str, Any]]) -> None:
        self.cells = [cell for cell in cells if cell["cell_type"] == "code"]
        self.names: dict[str, Any] = {"__name__": "__main__", "get_ipython": _Shell}
        self.done: dict[int, str] = {}  # a cell's number → how it ended, "" if well

    def place(self, cell: str, checker: str) -> int | None:
        """The number of an exercise's cell: the last that calls its checker, else the one so named.

        A student may have written the answer into a new cell, or below, with the call.
        """
        places = range(len(self.cells))
        calling = [i for i in places if checker in self.calls(i)]
        named = [i for i in places if self.cells[i].get("id") == cell]
        return (calling or named or [None])[-1]

    def calls(self, place: int) -> set[str]:
        try:
            return set().union(*map(called, self.trees(place)))
        except (SyntaxError, ValueError):
            return set()

    def trees(self, place: int) -> list[ast.stmt]:
        return ast.parse(plain(source(self.cells[place]))).body

    def needed(self, place: int, wanted: set[str]) -> list[int]:
        """The cells up to `place` that make the names it uses, and those that they use, in order.

        `place` itself is the last of them. The nearest cell that makes a name counts.
        """
        found, wanted = [], set(wanted)
        for i in range(place, -1, -1):
            try:
                statements = [names_of(one) for one in self.trees(i)]
            except (SyntaxError, ValueError):
                if i == place:
                    raise
                continue
            touched = set().union(*(makes for makes, _ in statements)) | changed(self.trees(i))
            if i != place and not wanted & touched:
                continue
            found.append(i)
            for makes, uses in reversed(statements):
                wanted = (wanted - makes) | uses
        return found[::-1]

    def run(self, place: int) -> str:
        """Run a cell once, its calls of checkers left out; how it ended, "" if well."""
        if place not in self.done:
            body = [
                one for one in self.trees(place) if not (isinstance(one, ast.Expr) and called(one))
            ]
            name = f"<cell {place + 1}>"  # the checkers count the steps of code in such a file
            try:
                exec(compile(ast.Module(body, []), name, "exec"), self.names)
                self.done[place] = ""
            except BaseException as error:  # a `sys.exit()` too is only a wrong answer
                self.done[place] = _told(error)
        return self.done[place]


class _Shell:
    """What magics find in place of IPython: they do nothing, but for those that time a cell."""

    user_ns: dict[str, Any] = {}  # noqa: RUF012

    def run_line_magic(self, *_: Any) -> None:
        return None

    def run_cell_magic(self, name: str, _: str, body: str) -> None:
        if name in ("time", "timeit", "capture"):
            exec(body, sys.modules["__main__"].__dict__["_names"])

    system = getoutput = run_line_magic


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")


# --- The examination --------------------------------------------------------------------------


def judge(notebook: Notebook, exercise: dict[str, str], checkers: dict, seal: Seal) -> dict:
    """The verdict on one exercise: kind (right, wrong, waiting) and the checker's words.

    The call is the course's own, not the student's: `check` may have been given another meaning.
    """
    try:
        passed, message = _examined(notebook, exercise, checkers, seal)
    except _FailedError as error:
        passed, message = False, str(error)
    except SyntaxError as error:
        passed, message = False, f"SyntaxError in its cell, line {error.lineno}: {error.msg}"
    except BaseException as error:
        passed, message = False, f"Your code stopped with {_told(error)}"
    if broken := seal.broken():
        passed, message = False, f"The notebook changes what judges it: {broken}"
    kind = {True: "right", False: "wrong", None: "waiting"}[passed]
    return {"number": exercise["number"], "kind": kind, "message": message[:LONGEST_MESSAGE]}


def _examined(
    notebook: Notebook, exercise: dict[str, str], checkers: dict, seal: Seal
) -> tuple[bool | None, str]:
    call = ast.parse(exercise["call"]).body[0].value
    place = notebook.place(exercise["cell"], call.func.attr)
    if place is None:
        return None, "Its cell is not in the notebook."
    wanted = {node.id for one in call.args for node in ast.walk(one) if isinstance(node, ast.Name)}
    for i in notebook.needed(place, wanted):
        if ended := notebook.run(i):
            where = "Its cell" if i == place else f"Code cell {i + 1}, which it needs,"
            raise _FailedError(f"{where} stopped with {ended}")
        if broken := seal.broken():
            raise _FailedError(f"The notebook changes what judges it: {broken}")
    answers = []
    for argument in call.args:
        try:
            code = compile(ast.Expression(argument), "<the course's call>", "eval")
            answers.append(eval(code, notebook.names))
        except NameError as error:
            raise _FailedError(f"There is no `{error.name}` in the notebook.") from error
    verdict = checkers[call.func.attr](*answers)
    return verdict.passed, str(verdict.message)


def main() -> None:
    job = json.loads(sys.stdin.readline())
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    token = job["token"]

    def tell(**what: Any) -> None:
        private.write(f"{token} {json.dumps(what)}\n")
        private.flush()

    apart = cut_network()
    try:
        notebook = Notebook(read(Path(job["notebook"]))["cells"])
    except LessonsError as error:
        tell(broken=str(error))
        return
    exercises = importlib.import_module("course_lib.exercises")
    frame = importlib.import_module("course_lib.exercises.frame")
    checkers = {
        name: one
        for name, one in vars(exercises).items()
        if isinstance(one, types.FunctionType) and one.__module__ != frame.__name__
    }
    _warm(notebook)
    sys.modules["__main__"].__dict__["_names"] = notebook.names
    forbid(tempfile.gettempdir())
    seal = Seal()
    tell(ready=True, apart=apart)
    for exercise in job["exercises"]:
        tell(begun=exercise["number"])
        tell(**judge(notebook, exercise, checkers, seal))


def _warm(notebook: Notebook) -> None:
    """Import what the notebook names of the course and of PARTS: it is sealed, and takes no time
    of the student's.
    """
    for cell in notebook.cells:
        with contextlib.suppress(SyntaxError, ValueError):
            for node in ast.walk(ast.parse(plain(source(cell)))):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        _import(alias.name)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    for alias in node.names:
                        _import(node.module, alias.name)


def _import(module: str, name: str = "") -> None:
    if module.partition(".")[0] in PARTS:
        with contextlib.suppress(Exception):  # the cell itself will say what is wrong
            part = importlib.import_module(module)
            if name and not hasattr(part, name):  # which also loads what is loaded when asked for
                importlib.import_module(f"{module}.{name}")


if __name__ == "__main__":
    main()
