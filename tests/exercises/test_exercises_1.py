"""Lesson 1's checkers: a wrong answer is told which property is wrong.

That the solutions in the lesson pass is tested in test_notebooks.py.
"""

import pytest
import torch
import torch.nn.functional as F

from course_lib import exercises as check
from course_lib.exercises import lesson_1


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def right(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda real, fake: right(fake, real), "swap the signs"),
        (lambda real, fake: -right(real, fake), "A loss falls when D does well"),
        (lambda real, fake: right(real, fake) / 2, "adds the two means"),
        (lambda real, fake: F.softplus(-real).mean(), "What of the forgeries?"),
        (lambda real, fake: F.softplus(fake).mean(), "What of the real points?"),
        (lambda real, fake: F.softplus(-real) + F.softplus(fake), "Return one number"),
        (
            lambda real, fake: (
                -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean()
            ),
            "infinite for forgeries with a score of 200, where 1 - sigmoid rounds to 0",
        ),
        (
            lambda real, fake: -torch.sigmoid(real).log().mean() + F.softplus(fake).mean(),
            "infinite for real points with a score of -200, where sigmoid rounds to 0",
        ),
        (lambda real, fake: right(real, fake) + 1, "yours is"),
    ],
)
def test_wrong_losses_are_told_why(loss, says):
    verdict = check.discriminator_loss(loss)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.discriminator_loss(right).passed


@pytest.mark.parametrize(
    ("checker", "answers", "says"),
    [
        (check.collapse, [{}], "no collapse"),
        (check.collapse, [{"lr_g": 1e-6}], "hardly ever where real points are"),
        (check.collapse, [{"steps_g": 2, "lr_g": 1e-3}], "keeps one turn"),
        (check.collapse, [{"batch": 2}], "no settings of this game: batch"),
        (check.collapse, [7], "Give a dict"),
        (check.collapse, [{"loss": "L1"}], "known: non-saturating"),
        (check.cure, [{"lr_d": 1e-2}], "steps_g=10 has to stay"),
        (check.balance_restored, [{"lr_d": 3e-3}, {"lr_d": 3e-3}], "too strong is right in"),
        (check.balance_restored, [{"steps_d": 9}, {}], "changes one thing"),
        (check.balance_restored, [{"lr_d": 2e-2}, {"lr_d": 1e-3}], "keeps its learning rate"),
        (check.balance_restored, [{"lr_d": 2e-2}, {"lr_d": 2e-2}], "80 % is wanted"),
    ],
)
def test_wrong_settings_are_told_why(checker, answers, says):
    verdict = checker(*answers)
    assert verdict.passed is False
    assert says in verdict.message


def test_a_cure_that_learns_nothing(monkeypatch):
    """Ten turns of G a round take long: a tenth of the rounds, in which as little is learnt."""
    play = lesson_1._games
    monkeypatch.setattr(lesson_1, "_games", lambda settings, rounds, seeds: play(settings, 40, 3))
    assert "80 % is wanted" in check.cure({"steps_g": 10, "lr_g": 1e-6}).message
