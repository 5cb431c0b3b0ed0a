"""Lesson 2's checkers: a wrong answer is told which property is wrong, and by how much.

That the solutions in the lesson pass is tested in test_notebooks.py.
"""

import math
import re

import pytest
from torch import nn

from course_lib import dcgan
from course_lib import exercises as check


def sides(ordinary, transposed):
    """A `side_after` made of a formula for each kind of layer."""
    return lambda n, k, s, p, turned: (transposed if turned else ordinary)(n, k, s, p)


def shrink(n, k, s, p):
    return (n + 2 * p - k) // s + 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (sides(shrink, shrink), "gives 32; PyTorch's ConvTranspose2d makes 128 pixels.*turn it"),
        (sides(shrink, lambda n, k, s, p: (n - 1) * s + k), "gives 130.*cuts 1 off on either side"),
        (sides(shrink, lambda n, k, s, p: n * s - 2 * p), "The last stamp is 4 wide, not 2"),
        (
            sides(lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1, None),
            "gives 5; PyTorch's Conv2d makes 4 pixels.*round down",
        ),
        (
            sides(lambda n, k, s, p: (n + 2 * p - k) / s + 1, None),
            "gives 4.5; PyTorch's Conv2d makes 4 pixels.*one pixel is left over: round down",
        ),
        (sides(lambda n, k, s, p: (n + 2 * p - k) // s, None), "gives 31.*first place"),
    ],
)
def test_wrong_sides(answer, words):
    verdict = check.output_side(answer)
    assert verdict.passed is False
    assert re.search(words, verdict.message), verdict


def deeper(width, doublings=1, last=nn.Tanh, fewer=2):
    *layers, _, _ = dcgan.Generator(width=width).main
    for _ in range(doublings):
        layers += [nn.ConvTranspose2d(width, width // fewer, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(width // fewer), nn.ReLU()]
        width //= fewer
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), last())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda width: dcgan.Generator(width=width), "is 64×64, not 128×128: one doubling is miss"),
        (lambda width: deeper(width, 2), "is 256×256, not 128×128: one doubling too many"),
        (lambda width: deeper(width, last=nn.Identity), "in [-1, 1]: end in Tanh"),
        (lambda width: deeper(64), "1.00 times the parameters of deeper(16): it ignores the width"),
        (lambda width: dcgan.Generator(100, width, 3, 128), "+257.5%: your new doubling is not at"),
        (lambda width: deeper(width, fewer=1), "+1.8%: a transposed convolution from `width` to"),
        (lambda width: 3, "an object of type int"),
        (
            lambda width: dcgan.Generator(image_size=100),
            "CourseError: image_size 100 is not possible",
        ),
    ],
)
def test_wrong_generators(answer, words):
    verdict = check.deeper_generator(answer)
    assert verdict.passed is False
    assert words in verdict.message


def test_a_doubling_at_the_end_passes():
    verdict = check.deeper_generator(deeper)
    assert verdict.passed
    assert "3,608,000 parameters at width 64: +0.9%" in verdict.message


def block(inputs, outputs, kernel=4, bias=False, norm=True, leak=0.2, norm_last=False):
    layers = [nn.Conv2d(inputs, outputs, kernel, 2, 1, bias=bias)]
    layers += [nn.BatchNorm2d(outputs)] if norm else []
    layers += [nn.LeakyReLU(leak)] if leak is not None else []
    return nn.Sequential(*(layers[::2] + layers[1:2] if norm_last else layers))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kernel": 3}, "The kernel is 3×3; D's are 4×4"),
        ({"kernel": 6}, "half the side, 16 maps: (32, 16, 8, 8)"),
        ({"bias": True}, "16 numbers too many"),
        ({"norm": False}, "BatchNorm2d is missing"),
        ({"leak": 0.0}, "that is a ReLU"),
        ({"leak": 0.01}, "lets 0.01 of the value through; the article's slope is 0.2"),
        ({"norm_last": True}, "BatchNorm stands behind the LeakyReLU"),
        ({"leak": None}, "The LeakyReLU is missing; it comes last"),
    ],
)
def test_wrong_blocks(wrong, words):
    verdict = check.discriminator_block(lambda inputs, outputs: block(inputs, outputs, **wrong))
    assert verdict.passed is False
    assert words in verdict.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda images: images.std(), "Four copies of one picture get"),
        (lambda images: 2 * images.std(dim=0).mean(), "get 1.13; each value's"),
        (lambda images: images.std(dim=0).sum(), "averaged, is 0.56"),
    ],
)
def test_wrong_varieties(answer, words):
    verdict = check.variety(answer)
    assert verdict.passed is False
    assert words in verdict.message
