"""What all checkers share: a verdict, and ways to say what is wrong with an answer."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch

MOST_STEPS = 3_000_000  # instructions of the student's own code, in one call


@dataclass(frozen=True)
class Verdict:
    """What a checker found: passed, failed, or (None) not tried yet."""

    passed: bool | None
    message: str

    def __repr__(self) -> str:
        sign = {True: "✓", False: "✗", None: "○"}[self.passed]
        return f"{sign} {self.message}"


class _WrongError(Exception):
    """Raised inside a checker: the answer is wrong, and this message says how."""


class _MissingError(Exception):
    """Raised inside a checker: the student's function has no body yet."""


def require(condition: bool, message: str) -> None:
    """Go on with the check if `condition` holds; otherwise the verdict is ✗ with this message."""
    if not condition:
        raise _WrongError(message)


def call(answer: Callable, *arguments: Any) -> Any:
    """What the student's function returns. One that returns nothing still waits for its code."""
    result = run(answer, *arguments)
    if _missing(result):
        raise _MissingError
    return result


def run(answer: Callable, *arguments: Any) -> Any:
    """As `call`, for a function that does something: one that forgot its `return` is examined."""
    require(callable(answer), f"Give the function itself, not {type(answer).__name__}.")
    with _step_limit(answer):
        result = answer(*arguments)
    if result is ...:
        raise _MissingError
    return result


def checker(exercise: str) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Turn a function that `require`s things and returns praise into a checker.

    `exercise` is its number, such as "2.2". Answers that are `...` or None are waiting, and so is a
    function, run by `call`, that returns one of them. An exception in the student's code becomes ✗.
    An answer meets the same random numbers at every check; the lesson's own are left alone.
    """

    def decorate(examine: Callable[..., str]) -> Callable[..., Verdict]:
        @functools.wraps(examine)
        def check(*answers: Any, **named: Any) -> Verdict:
            waiting = Verdict(None, f"Exercise {exercise} is waiting for your code.")
            if any(_missing(answer) for answer in (*answers, *named.values())):
                return waiting
            try:
                with torch.random.fork_rng(devices=()):
                    torch.manual_seed(0)
                    return Verdict(True, examine(*answers, **named))
            except _MissingError:
                return waiting
            except _WrongError as reason:
                return Verdict(False, str(reason))
            except Exception as error:
                return Verdict(False, f"Your code stopped with {type(error).__name__}: {error}")

        return check

    return decorate


def number(answer: Any) -> float:
    """The answer as a float, be it Python's, NumPy's, or a tensor of one number."""
    if isinstance(answer, torch.Tensor) and answer.numel() == 1:
        answer = answer.item()
    require(
        isinstance(answer, Real) and not isinstance(answer, bool),
        f"Return a number, not {kind(answer)}"
        + (f" of shape {tuple(answer.shape)}." if isinstance(answer, torch.Tensor) else "."),
    )
    return float(answer)


def kind(thing: Any) -> str:
    """What a thing is, for messages: "an object of type int"."""
    return f"an object of type {type(thing).__name__}"


def _missing(answer: Any) -> bool:
    if isinstance(answer, tuple | list):
        return any(_missing(part) for part in answer)
    return answer is None or answer is ...


@contextmanager
def _step_limit(answer: Callable) -> Iterator[None]:
    """End an answer that loops for ever, by counting the instructions of the cell it stands in.

    A timer would need signals, which Windows lacks and only the main thread receives, or a process
    of its own, to which a cell's functions do not travel; and it would end right answers on a slow
    machine. A debugger that is at work keeps its own way of tracing.
    """
    file = _file(answer)
    if file is None or sys.gettrace() is not None:
        yield
        return
    left = MOST_STEPS

    def count(frame: Any, event: str, _: Any) -> Callable:
        nonlocal left
        left -= 1
        require(
            left >= 0,
            f"Your code has made {MOST_STEPS:,} steps and is not done: a loop in it never ends. "
            "Does what it waits for ever come?",
        )
        return count

    def enter(frame: Any, event: str, _: Any) -> Callable | None:
        if frame.f_code.co_filename != file:
            return None
        frame.f_trace_opcodes = True  # `while True: pass` stays on its line
        return count

    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(None)


def _file(answer: Callable) -> str | None:
    """Where the answer's code stands: a function's, a method's, a class's, or a network's."""
    while isinstance(answer, functools.partial):
        answer = answer.func
    if isinstance(answer, torch.nn.Module):
        answer = type(answer).forward
    elif isinstance(answer, type):
        answer = answer.__init__
    elif not hasattr(inspect.unwrap(answer), "__code__"):
        answer = type(answer).__call__
    code = getattr(inspect.unwrap(answer), "__code__", None)
    return code and code.co_filename
