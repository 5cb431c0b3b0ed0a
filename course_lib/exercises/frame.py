"""What all checkers share: a verdict, and ways to say what is wrong with an answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


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


def kind(thing: Any) -> str:
    """What a thing is, for messages: "an object of type int"."""
    return f"an object of type {type(thing).__name__}"


def _missing(answer: Any) -> bool:
    if isinstance(answer, tuple | list):
        return any(_missing(part) for part in answer)
    return answer is None or answer is ...
