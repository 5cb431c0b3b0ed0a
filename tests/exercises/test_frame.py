"""The frame of the checkers; each lesson's own are run by test_notebooks.py."""

import functools
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from course_lib.exercises.frame import Verdict, call, checker, number, require


@checker("9.1")
def double(answer: Callable) -> str:
    result = call(answer, 4)
    require(result == 8, f"Twice 4 is 8, not {result}.")
    return "Twice."


@checker("9.2")
def pair(left: int, right: int) -> str:
    require(left < right, "left comes before right.")
    return "In order."


@pytest.mark.parametrize("answer", [None, ..., lambda n: None, lambda n: ..., lambda n: (n, ...)])
def test_what_is_not_written_yet_is_waiting(answer):
    verdict = double(answer)
    assert verdict.passed is None
    assert repr(verdict) == "○ Exercise 9.1 is waiting for your code."


def test_one_missing_answer_of_two_is_waiting():
    assert pair(1, ...).passed is None
    assert pair(left=1, right=None).passed is None


def test_right_answer():
    assert double(lambda n: n + n) == Verdict(True, "Twice.")
    assert repr(double(lambda n: n + n)) == "✓ Twice."


def test_wrong_answer_teaches():
    assert repr(double(lambda n: n * n)) == "✗ Twice 4 is 8, not 16."
    assert pair(2, 1) == Verdict(False, "left comes before right.")


def test_errors_in_the_answer_do_not_stop_the_lesson():
    verdict = double(lambda n: n / 0)
    assert verdict.passed is False
    assert verdict.message == "Your code stopped with ZeroDivisionError: division by zero"
    assert double(8).message == "Give the function itself, not int."


def test_checks_repeat_themselves_and_leave_the_students_chance_alone():
    drawn = []

    @checker("9.3")
    def chance(answer: Callable) -> str:
        drawn.append(call(answer))
        return "Drawn."

    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    assert chance(lambda: torch.randn(3)).passed
    assert torch.equal(torch.randn(3), expected)
    assert chance(lambda: torch.randn(3)).passed
    assert torch.equal(*drawn)


def never(n):
    while True:
        pass


class Never(torch.nn.Module):
    def forward(self, n):
        while n:
            n = abs(n)


ENDLESS = [never, torch.no_grad()(never), functools.partial(never), lambda n: never(n), Never()]


@pytest.mark.parametrize("answer", ENDLESS)
def test_an_answer_that_loops_for_ever_is_ended(answer, monkeypatch):
    monkeypatch.setattr("course_lib.exercises.frame.MOST_STEPS", 10_000)
    verdicts = []  # in a thread, where no signal arrives
    thread = threading.Thread(target=lambda: verdicts.append(double(answer)))
    thread.start()
    thread.join(60)
    assert "10,000 steps and is not done: a loop in it never ends" in verdicts[0].message
    assert "a loop in it never ends" in double(answer).message
    assert sys.gettrace() is None


def test_a_long_way_is_not_an_endless_one():
    assert double(lambda n: sum(1 for _ in range(100_000)) * 2 * n // 100_000).passed


@pytest.mark.parametrize("answer", [8, 8.0, np.float32(8), np.int64(8), torch.tensor([8.0])])
def test_numbers_of_every_kind(answer):
    assert number(answer) == 8.0


@checker("9.4")
def counted(answer: Callable) -> str:
    return f"{number(call(answer)):g}"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: "8", "an object of type str."),
        (lambda: True, "an object of type bool."),
        (lambda: torch.ones(2, 3), "an object of type Tensor of shape (2, 3)."),
    ],
)
def test_what_is_no_number(answer, says):
    assert counted(answer).message == f"Return a number, not {says}"
