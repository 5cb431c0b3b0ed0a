"""The frame of the checkers; each lesson's own are run by test_notebooks.py."""

from collections.abc import Callable

import pytest
import torch

from course_lib.exercises.frame import Verdict, call, checker, require


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
