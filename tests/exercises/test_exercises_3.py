"""What lesson 3's checkers say about the mistakes that students make."""

import pytest
import torch
from torch import nn

from course_lib import exercises as check

entropy = nn.functional.binary_cross_entropy


def d_step(real_label=1.0, fake_label=0.0, *, clear=True, detach=True, move=True, parts=(1, 1)):
    """A student's D step, with a mistake or none."""

    def step(D, optimiser, real, fakes):
        if clear:
            optimiser.zero_grad()
        on_real, on_fakes = D(real), D(fakes.detach() if detach else fakes)
        loss = parts[0] * entropy(on_real, torch.full_like(on_real, real_label))
        loss = loss + parts[1] * entropy(on_fakes, torch.full_like(on_fakes, fake_label))
        loss.backward()
        if move:
            optimiser.step()
        return loss

    return step


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"clear": False}, "begin with optimiser.zero_grad()"),
        ({"detach": False}, "D should look at fakes.detach()"),
        ({"move": False}, "call optimiser.step() at the end"),
        ({"real_label": 0.0, "fake_label": 1.0}, "the wrong way round"),
        ({"fake_label": 1.0}, "You called the fakes real as well"),
        ({"parts": (1, 0)}, "from the real ones only"),
        ({"parts": (0, 1)}, "from the fakes only"),
        ({"parts": (0.5, 0.5)}, "added, not averaged"),
        ({"real_label": 0.9}, "not those after one step"),
    ],
)
def test_discriminator_step(mistake, message):
    verdict = check.discriminator_step(d_step(**mistake))
    assert verdict.passed is False
    assert message in verdict.message
    assert check.discriminator_step(d_step()).passed


def g_step(label=1.0, *, detach=False, learn=True, move=True, part=1.0):
    def step(D, optimiser, fakes):
        verdict = D(fakes.detach() if detach else fakes)
        loss = part * entropy(verdict, torch.full_like(verdict, label))
        optimiser.zero_grad()
        if learn:
            loss.backward()
        if move:
            optimiser.step()
        return loss

    return step


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"detach": True}, "No gradient reaches G"),
        ({"learn": False}, "No gradient reaches G"),
        ({"move": False}, "optimiser.step() is missing"),
        ({"label": 0.0}, "which label does it want D to give?"),
        ({"part": 0.5}, "not that of BCE with label 1"),
    ],
)
def test_generator_step(mistake, message):
    verdict = check.generator_step(g_step(**mistake))
    assert verdict.passed is False
    assert message in verdict.message
    assert check.generator_step(g_step()).passed


def test_a_step_without_return_is_examined_and_not_waiting():
    """The friend's code of exercise 3.2 returns nothing; so may a half-repaired step."""

    def silent(*arguments):
        g_step(detach=True)(*arguments)

    assert "No gradient reaches G" in check.generator_step(silent).message

    def forgetful(*arguments):
        g_step()(*arguments)

    assert "now return the loss" in check.generator_step(forgetful).message
    assert check.generator_step(lambda *_: ...).passed is None


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (lambda average, weights, decay: (1 - decay) * average + decay * weights, "keeps 0.1"),
        (lambda average, weights, decay: average + weights, "Not decay"),
        (lambda average, weights, decay: weights.add_(1), "changed the weights of G"),
    ],
)
def test_moving_average(update, message):
    verdict = check.moving_average(update)
    assert verdict.passed is False
    assert message in verdict.message


def slerp(start, end, parts):
    angle = torch.acos(nn.functional.cosine_similarity(start, end, dim=0))
    parts = parts[:, None]
    return (torch.sin((1 - parts) * angle) * start + torch.sin(parts * angle) * end) / angle.sin()


@pytest.mark.parametrize(
    ("walk", "message"),
    [
        (lambda a, b, n: torch.lerp(a, b, torch.linspace(0, 1, n)[:, None]), "Walk on the sphere"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 1, n - 1)), "yours is (8, 100)"),
        (lambda a, b, n: slerp(b, a, torch.linspace(0, 1, n)), "does not begin at `start`"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 0.5, n)), "does not arrive at `end`"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 1, n) ** 3), "strides are uneven"),
    ],
)
def test_walk(walk, message):
    verdict = check.walk(walk)
    assert verdict.passed is False
    assert message in verdict.message
