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
        (
            lambda real, fake: (
                -(torch.sigmoid(real) + 1e-8).log().mean()
                - (1 - torch.sigmoid(fake) + 1e-8).log().mean()
            ),
            "18.4 and not 200 for forgeries with a score of 200",
        ),
        (
            lambda real, fake: -(torch.sigmoid(real) + 1e-8).log().mean() + F.softplus(fake).mean(),
            "18.4 and not 200 for real points with a score of -200",
        ),
        (
            lambda real, fake: (
                F.binary_cross_entropy(torch.sigmoid(real), torch.ones_like(real))
                + F.binary_cross_entropy(torch.sigmoid(fake), torch.zeros_like(fake))
            ),
            "100.0 and not 200",
        ),
        (lambda real, fake: right(real, fake).item(), "without .item()"),
        (lambda real, fake: right(real, fake).detach(), "has no gradient"),
        (lambda real, fake: -real.log().mean() - (1 - fake).log().mean(), "sigmoid(score) comes"),
        (lambda real, fake: len(real) * right(real, fake), "take their mean"),
        (lambda real, fake: F.softplus(-fake).mean(), "what G wants"),
        (lambda real, fake: right(real, -fake), "This D calls everything real"),
        (lambda real, fake: (F.softplus(-real) - F.softplus(fake)).mean(), "the wrong sign"),
        (lambda real, fake: ((real - 1) ** 2 + fake**2).mean(), "least squares"),
        (lambda real, fake: (F.relu(1 - real) + F.relu(1 + fake)).mean(), "hinge loss"),
        (lambda real, fake: right(real, fake) / torch.tensor(2.0).log(), "to the base 2"),
    ],
)
def test_wrong_losses_are_told_why(loss, says):
    verdict = check.discriminator_loss(loss)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.discriminator_loss(right).passed


class Loss(torch.nn.Module):
    """A class in place of a function."""

    def forward(self, real, fake):
        judge = torch.nn.BCEWithLogitsLoss()
        return judge(input=real, target=torch.ones_like(real)) + judge(fake, fake * 0)


@pytest.mark.parametrize(
    "loss",
    [
        Loss(),
        lambda real, fake: -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean(),
        lambda real, fake: torch.logaddexp(torch.zeros(1), torch.stack([-real, fake])).mean() * 2,
        lambda real, fake: torch.mean(F.softplus(fake).add_(F.softplus(real.neg()))),
        lambda real, fake: sum(F.softplus(-real)) / len(real) + sum(F.softplus(fake)) / len(fake),
    ],
)
def test_unusual_but_right_losses(loss):
    verdict = check.discriminator_loss(loss)
    assert verdict.passed, verdict


STRONG = {"lr_d": 2e-2}


@pytest.mark.parametrize(
    ("checker", "answers", "says"),
    [
        (check.collapse, [{}], "no collapse. G is not far enough ahead"),
        (check.collapse, [{"lr_d": 1e-2, "lr_g": 1e-2}], "so does D, and keeps up"),
        (check.collapse, [{"lr_d": 1e-1}], "D is"),
        (check.collapse, [STRONG], "D is too strong: it is right in"),
        (check.collapse, [{"lr_d": 1e-5, "lr_g": 1e-2}], "D hardly learns"),
        (check.collapse, [{"lr_g": 1e-6}], "G's turns are too short to arrive"),
        (check.collapse, [{"steps_g": 2, "lr_g": 1e-3}], "keeps one turn"),
        (check.collapse, [{"batch": 2}], "no settings of this game: batch"),
        (check.collapse, [7], "Give a dict"),
        (check.collapse, [{"loss": "L1"}], "known: non-saturating"),
        (check.cure, [{"lr_d": 1e-2}], "steps_g=10 has to stay"),
        (check.cure, [[10]], "Give a dict"),
        (check.cure, [{"steps_g": 10, "lr_d": 1e-2, "lr_g": 1e-3}], "ten turns still go too far"),
        (check.cure, [{"steps_g": 10, "lr_d": 1e-2, "lr_g": 1e-4}], "too short beside D's"),
        (check.balance_restored, [{"lr_d": 3e-3}, {"lr_d": 3e-3}], "too strong is right in"),
        (check.balance_restored, [{"lr_d": 3e-3}, {"lr_d": 3e-3}], "Sensible is an lr_d of 1e-2"),
        (check.balance_restored, [{"lr_d": 1e-4}, {"lr_d": 1e-4}], "learns too slowly"),
        (check.balance_restored, [{"steps_d": 9}, {}], "changes one thing"),
        (check.balance_restored, [STRONG, {"lr_d": 1e-3}], "keeps its learning rate"),
        (check.balance_restored, [STRONG, {**STRONG, "steps_d": 2}], "keeps its one turn"),
        (check.balance_restored, [STRONG, STRONG], "`strong` over again"),
        (check.balance_restored, [STRONG, {**STRONG, "lr_g": 1.5e-3}], "still too slow"),
        (check.balance_restored, [STRONG, {**STRONG, "lr_g": 4e-2}], "G has overtaken D"),
        (check.balance_restored, [STRONG, {**STRONG, "loss": "hinge"}], "G must keep up with D"),
        (check.balance_restored, [STRONG, 8e-3], "a dict of settings as `cured`"),
    ],
)
def test_wrong_settings_are_told_why(checker, answers, says):
    verdict = checker(*answers)
    assert verdict.passed is False
    assert says in verdict.message


@pytest.mark.parametrize(
    ("checker", "answers"),
    [
        # The corners of what the message calls sensible, and other ways.
        (check.collapse, [{"lr_d": 3e-4, "lr_g": 5e-3}]),
        (check.collapse, [{"lr_d": 3e-4, "lr_g": 2e-2}]),
        (check.collapse, [{"lr_d": 1e-3, "lr_g": 5e-3}]),
        (check.collapse, [{"lr_d": 1e-3, "lr_g": 2e-2}]),
        (check.collapse, [{"lr_d": 5.1e-4, "lr_g": 1.1e-2}]),
        (check.balance_restored, [{"lr_d": 1e-2}, {"lr_d": 1e-2, "lr_g": 2.5e-3}]),
        (check.balance_restored, [{"lr_d": 1e-2}, {"lr_d": 1e-2, "lr_g": 4e-3}]),
        (check.balance_restored, [{"lr_d": 2e-2}, {"lr_d": 2e-2, "lr_g": 5e-3}]),
        (check.balance_restored, [{"lr_d": 2e-2}, {"lr_d": 2e-2, "lr_g": 8e-3}]),
        (check.balance_restored, [STRONG, {**STRONG, "steps_g": 5}]),
    ],
)
def test_sensible_settings_pass_wherever_they_lie(checker, answers):
    verdict = checker(*answers)
    assert verdict.passed, verdict


def test_a_cure_that_learns_nothing(monkeypatch):
    """Ten turns of G a round take long: a tenth of the rounds, in which as little is learnt."""
    play = lesson_1._play
    monkeypatch.setattr(lesson_1, "_play", lambda settings, games, looks: play(settings, 3, (20,)))
    assert "80 % is wanted" in check.cure({"steps_g": 10, "lr_g": 1e-6}).message
