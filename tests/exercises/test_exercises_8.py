"""What lesson 8's checkers say about the mistakes that students make."""

import pytest
import torch
from torch.nn import functional as F

from course_lib import cyclegan
from course_lib import exercises as check


def round_trip(there, back, a, b):
    return F.l1_loss(back(there(a)), a) + F.l1_loss(there(back(b)), b)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda t, k, a, b: F.l1_loss(t(a), b) + F.l1_loss(k(b), a), "There are no pairs"),
        (lambda t, k, a, b: F.l1_loss(t(b), b) + F.l1_loss(k(a), a), "the identity loss"),
        (lambda t, k, a, b: F.l1_loss(t(k(a)), a) + F.l1_loss(k(t(b)), b), "wrong generator"),
        (lambda t, k, a, b: F.l1_loss(k(t(a)), a), "one way round"),
        (lambda t, k, a, b: F.l1_loss(t(k(b)), b), "one way round"),
        (lambda t, k, a, b: round_trip(t, k, a, b) / 2, "add the two"),
        (lambda t, k, a, b: F.mse_loss(k(t(a)), a) + F.mse_loss(t(k(b)), b), "squares (L2)"),
        (
            lambda t, k, a, b: (k(t(a)) - a).abs().sum() + (t(k(b)) - b).abs().sum(),
            "Take the mean",
        ),
        (lambda t, k, a, b: (k(t(a)) - a).mean() + (t(k(b)) - b).mean(), "absolute values"),
        (
            lambda t, k, a, b: (k(t(a)) - a).mean().abs() + (t(k(b)) - b).mean().abs(),
            "Absolute value first",
        ),
        (
            lambda t, k, a, b: ((k(t(a)) - a) + (t(k(b)) - b)).abs().mean(),
            "Absolute value first",
        ),
        (lambda t, k, a, b: (k(t(a)) - a).abs(), "not a tensor of shape (3, 3, 8, 8)"),
        (lambda t, k, a, b: round_trip(t, k, a, b).item(), "not an object of type float"),
        (lambda t, k, a, b: round_trip(t, k, a, b).detach(), "No gradient"),
        (
            lambda t, k, a, b: F.l1_loss(k(t(a).detach()), a) + F.l1_loss(t(k(b).detach()), b),
            "in the middle is detached",
        ),
        (lambda t, k, a, b: round_trip(t, k, a, b) + 1, "found"),
    ],
)
def test_cycle_loss(answer, says):
    verdict = check.cycle_loss(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.cycle_loss(round_trip).passed
    assert check.cycle_loss(lambda there, back, a, b: ...).passed is None


def reach(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        side, step = side + (kernel - 1) * step, step * stride
    return side


def as_if_backwards(layers):
    side = 1
    for kernel, stride in layers:
        side = (side - 1) * stride + kernel
    return side


def one_stride(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        side, step = side + (kernel - 1) * step, stride
    return side


def with_own_stride(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        side += (kernel - 1) * step
    return side


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda layers: sum(k for k, _ in layers), "add up the kernels"),
        (lambda layers: torch.tensor([k for k, _ in layers]).prod().item(), "multiply the kernels"),
        (lambda layers: 1 + sum(k - 1 for k, _ in layers), "all strides *before* it"),
        (with_own_stride, "own stride already"),
        (as_if_backwards, "from the *last* layer to the first"),
        (one_stride, "the layer just before"),
        (lambda layers: reach(layers) - 1, "begin with 1"),
        (lambda layers: reach(layers) / 1, "a whole number of pixels"),
        (lambda layers: 64, "Begin with 1 pixel"),
    ],
)
def test_patch(answer, says):
    verdict = check.patch(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.patch(reach).passed
    assert check.patch(lambda layers: as_if_backwards(reversed(layers))).passed
    assert check.patch(lambda layers: None).passed is None


def inside_outside(outputs, inputs, targets, mask=None, off=None):
    mask = cyclegan.differs(inputs, targets) if mask is None else mask
    off = (outputs - targets).abs() * 127.5 if off is None else off
    mask = mask.expand_as(off)
    return off[mask].mean(), off[~mask].mean()


def zeros_too(outputs, inputs, targets):
    off, mask = (outputs - targets).abs() * 127.5, cyclegan.differs(inputs, targets)
    return (off * mask).mean(), (off * ~mask).mean()


def a_channel(outputs, inputs, targets):
    return inside_outside(outputs, inputs, targets, (inputs - targets).abs() * 127.5 > 8)


def least(levels, scale=127.5):
    def answer(o, i, t):
        return inside_outside(o, i, t, (i - t).abs().amax(1, keepdim=True) * scale > levels)

    return answer


def from_the_input(o, i, t):
    return inside_outside(o, i, t)[0], inside_outside(o, i, t, off=(o - i).abs() * 127.5)[1]


def not_expanded(o, i, t):
    return ((o - t).abs() * 127.5)[cyclegan.differs(i, t)].mean(), 0.0


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (least(0), "not 8 levels"),
        (least(4), "not 8 levels"),
        (least(30), "not 8 levels"),
        (least(8, 255), "not 8 levels"),
        (least(8, 1), "your mask is empty"),
        (not_expanded, "expand_as"),
        (from_the_input, "from the input"),
        (
            lambda o, i, t: inside_outside(
                o, i, t, (i - t).abs().mean(1, keepdim=True) > 8 / 127.5
            ),
            "the mean of the three",
        ),
        (lambda o, i, t: inside_outside(o, i, t)[::-1], "Turned round"),
        (lambda o, i, t: [one / 127.5 for one in inside_outside(o, i, t)], "× 127.5"),
        (lambda o, i, t: [2 * one for one in inside_outside(o, i, t)], "not 255"),
        (lambda o, i, t: [2 * one for one in least(4)(o, i, t)], "in the mask as well"),
        (zeros_too, "over the chosen"),
        (lambda o, i, t: inside_outside(o, i, t, cyclegan.differs(o, t)), "chooses for itself"),
        (lambda o, i, t: inside_outside(o, i, t, cyclegan.differs(o, i)), "chooses for itself"),
        (a_channel, "*any* of its three"),
        (
            lambda o, i, t: inside_outside(o, i, t, off=(o - i).abs() * 127.5),
            "copying would be perfect",
        ),
        (
            lambda o, i, t: inside_outside(o, i, t, off=(o - t).square() * 127.5),
            "asked for are absolute",
        ),
        (lambda o, i, t: inside_outside(o, i, t)[0], "two numbers"),
        (lambda o, i, t: (1.0, 2.0), "expected"),
    ],
)
def test_inside_and_outside(answer, says):
    verdict = check.inside_and_outside(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.inside_and_outside(inside_outside).passed
    assert check.inside_and_outside(lambda o, i, t: ...).passed is None
