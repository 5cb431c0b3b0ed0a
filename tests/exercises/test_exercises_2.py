"""Lesson 2's checkers: a wrong answer is told which property is wrong, and by how much.

That the solutions in the lesson pass is tested in test_notebooks.py.
"""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import dcgan
from course_lib import exercises as check


def sides(ordinary, transposed):
    """A `side_after` made of a formula for each kind of layer."""
    return lambda n, k, s, p, turned: (transposed if turned else ordinary)(n, k, s, p)


def shrink(n, k, s, p):
    return (n + 2 * p - k) // s + 1


def grow(n, k, s, p):
    return (n - 1) * s + k - 2 * p


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (sides(shrink, shrink), "gives 32; PyTorch's ConvTranspose2d makes 128 pixels.*turn it"),
        (sides(shrink, lambda n, k, s, p: (n - 1) * s + k), "gives 130.*cuts 1 off on either side"),
        (sides(shrink, lambda n, k, s, p: n * s - 2 * p), "The last stamp is 4 wide, not 2"),
        (
            sides(lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1, shrink),
            "gives 5; PyTorch's Conv2d makes 4 pixels.*round down",
        ),
        (
            sides(lambda n, k, s, p: (n + 2 * p - k) / s + 1, shrink),
            "gives 4.5; PyTorch's Conv2d makes 4 pixels.*one pixel is left over: round down",
        ),
        (sides(lambda n, k, s, p: round((n + 2 * p - k) / s) + 1, shrink), "not to the nearest"),
        (sides(lambda n, k, s, p: (n + 2 * p - k) // s, shrink), "gives 31.*first place"),
        (sides(lambda n, k, s, p: (n + p - k) // s + 1, shrink), "gives 31.*2 · padding"),
        (sides(lambda n, k, s, p: (n - k) // s + 1, shrink), "forgot the padding"),
        (sides(lambda n, k, s, p: n + 2 * p - k + 1, shrink), "forgot the stride"),
        (sides(grow, grow), "gives 128.*That is the transposed one"),
        (sides(shrink, lambda n, k, s, p: grow(n, k, s, p) + p), r"on \*either\* side"),
        (sides(shrink, lambda n, k, s, p: grow(n + 1, k, s, p)), "n - 1 strides"),
        (sides(shrink, lambda n, k, s, p: n * s), "gives 4; PyTorch's ConvTranspose2d makes 7"),
        (lambda *asked: str(shrink(*asked[:4])), "Return a number, not an object of type str"),
    ],
)
def test_wrong_sides(answer, words):
    verdict = check.output_side(answer)
    assert verdict.passed is False
    assert re.search(words, verdict.message), verdict


def deeper(width, doublings=1, last=nn.Tanh, fewer=2, between="norm, bend", bias=(), act=nn.ReLU):
    *layers, _, _ = dcgan.Generator(width=width).main
    for _ in range(doublings):
        layers += [nn.ConvTranspose2d(width, width // fewer, 4, 2, 1, bias="new" in bias)]
        parts = {"norm": nn.BatchNorm2d(width // fewer), "bend": act()}
        parts["own"] = nn.InstanceNorm2d(width // fewer, affine=True)
        layers += [parts[part] for part in between.split(", ") if part]
        width //= fewer
    end = nn.ConvTranspose2d(width, 3, 4, 2, 1, bias="last" in bias)
    return nn.Sequential(*layers, end, last())


def stretched(width):
    """Twice the side by interpolation, in place of the new convolution's stride."""
    *layers, _, _ = dcgan.Generator(width=width).main
    layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width // 2, 3, 1, 1, bias=False)]
    layers += [nn.BatchNorm2d(width // 2), nn.ReLU()]
    end = nn.ConvTranspose2d(width // 2, 3, 4, 2, 1, bias=False)
    return nn.Sequential(*layers, end, nn.Tanh())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda width: dcgan.Generator(width=width), "is 64×64, not 128×128: one doubling is miss"),
        (lambda width: deeper(width, 2), "is 256×256, not 128×128: one doubling too many"),
        (lambda width: deeper(width, last=nn.Identity), "in [-1, 1]: end in Tanh"),
        (lambda width: deeper(64), "1.00 times the parameters of deeper(16): it ignores the width"),
        (
            lambda width: dcgan.Generator(100, width, 3, 128),
            "at the end. At the start, where the maps are many, it is expensive",
        ),
        (lambda width: deeper(width, fewer=1), "+1.8%: a transposed convolution from `width` to"),
        (lambda width: deeper(width, between=""), "convolution 5 of 6 stands neither"),
        (lambda width: deeper(width, between="bend"), "convolution 5 of 6 BatchNorm is missing"),
        (lambda width: deeper(width, between="norm"), "the ReLU is missing"),
        (lambda width: deeper(width, between="bend, norm"), "stands behind the ReLU"),
        (lambda width: deeper(width, between="own, bend"), "InstanceNorm"),
        (lambda width: deeper(width, between="norm, bend, norm"), "batch_norm, relu, batch_norm"),
        (lambda width: deeper(width, act=lambda: nn.LeakyReLU(0.2)), "D's LeakyReLU"),
        (lambda width: deeper(width, act=nn.GELU), "nothing else; yours does batch_norm, gelu"),
        (lambda width: deeper(width, bias=("new",)), "Convolution 5 of 6 has a bias: BatchNorm"),
        (lambda width: deeper(width, bias=("last",)), "Convolution 6 of 6 has a bias: ours has"),
        (lambda width: deeper(width, last=nn.Sigmoid), "they end in a Sigmoid"),
        (lambda width: deeper(width, last=nn.Hardtanh), "cut off at -1 and 1"),
        (lambda width: deeper(width, last=nn.Softsign), "and nothing else; yours does softsign"),
        (stretched, "an ordinary convolution"),
        (deeper(16), "give the function that makes one"),
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


class Deeper(nn.Module):
    """A class in place of a function; what has no weights is a function in `forward`."""

    def __init__(self, width):
        super().__init__()
        self.start = dcgan.Generator(width=width).main[:-2]
        self.doubling = nn.ConvTranspose2d(width, width // 2, (4, 4), (2, 2), (1, 1), bias=False)
        self.norm = nn.BatchNorm2d(width // 2)
        self.end = nn.ConvTranspose2d(width // 2, 3, 4, stride=2, padding=1, bias=False)

    def forward(self, noise):
        maps = self.norm(self.doubling(self.start(noise))).clamp_(min=0)
        return self.end(maps).tanh()


def first_weights_in_evaluation(width):
    return deeper(width).apply(dcgan.initialise_weights).eval()


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(outputs, inputs, 4, 4))
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps):
        maps = self.norm(F.conv2d(input=maps, weight=self.weight, stride=2, padding=1))
        return torch.maximum(maps, 0.2 * maps)


@pytest.mark.parametrize(
    ("checker", "answer"),
    [
        (
            check.output_side,
            sides(lambda *a: np.int64(shrink(*a)), lambda *a: np.float32(grow(*a))),
        ),
        (
            check.output_side,
            sides(
                lambda n, k, s, p: len(range(0, n + 2 * p - k + 1, s)), lambda *a: float(grow(*a))
            ),
        ),
        (check.deeper_generator, Deeper),
        (check.deeper_generator, first_weights_in_evaluation),
        (check.discriminator_block, Block),
        (check.discriminator_block, lambda a, b: block(a, b, inplace=True)),
        (check.variety, lambda images: images.std(0).mean()),
        (check.variety, lambda images: images.numpy().std(axis=0).mean()),
        (check.variety, lambda images: images.var(0, correction=0).sqrt().flatten().mean(0)[None]),
    ],
)
def test_unusual_but_right(checker, answer):
    verdict = checker(answer)
    assert verdict.passed, verdict


def block(
    inputs, outputs, kernel=4, bias=False, leak=0.2, order="conv norm bend", inplace=False, **named
):
    """D's block, or another: its parts in this order, and keywords for the convolution."""
    settings = {"stride": 2, "padding": 1} | named
    parts = {
        "conv": nn.Conv2d(inputs, outputs, kernel, bias=bias, **settings),
        "norm": nn.BatchNorm2d(inputs if order.startswith("norm") else outputs),
        "bend": nn.LeakyReLU(leak, inplace=inplace),
        "pool": nn.AvgPool2d(2),
        "own": nn.InstanceNorm2d(outputs, affine=True),
        "group": nn.GroupNorm(2, outputs),
        "keras": nn.BatchNorm2d(outputs, 0.8),
        "learnt": nn.PReLU(init=0.2),
        "up": nn.ConvTranspose2d(inputs, outputs, 4, 2, 1),
        "again": nn.Conv2d(outputs, outputs, 3, 1, 1),
        "drop": nn.Dropout(0.3),
        "bare": nn.BatchNorm2d(outputs, affine=False),
    }
    return nn.Sequential(*(parts[part] for part in order.split()))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kernel": 3}, "The kernel is 3×3; D's are 4×4"),
        ({"kernel": 6}, "The kernel is 6×6"),
        ({"padding": 0}, "half the side, 16 maps: (32, 16, 8, 6)"),
        ({"stride": 1, "padding": "same", "order": "conv norm bend pool"}, "avg_pool2d does the"),
        ({"stride": 1}, "The convolution has a stride of 1. D shrinks"),
        ({"groups": 4}, "4 groups, so that each map sees only 1 in 4"),
        ({"dilation": 2, "padding": 3}, "2 apart (dilation)"),
        ({"order": "norm conv bend"}, "BatchNorm stands before the convolution"),
        ({"order": "bend conv norm"}, "The convolution comes first; before it your block does"),
        ({"order": "conv"}, "Behind the convolution nothing follows"),
        ({"order": "conv own bend"}, "InstanceNorm"),
        ({"order": "conv group bend"}, "yours does group_norm, leaky_relu"),
        ({"order": "conv keras bend"}, "no momentum but eps"),
        ({"order": "conv norm learnt"}, "That is a PReLU, which learns its slope"),
        ({"order": "conv norm bend drop"}, "yours does batch_norm, leaky_relu, dropout"),
        ({"order": "conv bare bend"}, "a scale and a shift"),
        ({"order": "up norm bend"}, "it stamps, as G does"),
        ({"order": "conv again norm bend"}, "2 convolutions; one is enough"),
        ({"bias": True}, "16 numbers too many"),
        ({"order": "conv bend"}, "BatchNorm2d is missing"),
        ({"leak": 0.0}, "that is a ReLU"),
        ({"leak": 0.01}, "lets 0.01 of the value through; the article's slope is 0.2"),
        ({"order": "conv bend norm"}, "BatchNorm stands behind the LeakyReLU"),
        ({"order": "conv norm"}, "The LeakyReLU is missing; it comes last"),
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
        (lambda images: images.std(dim=1).mean(), "Four copies of one picture get"),
        (lambda images: 2 * images.std(dim=0).mean(), "that is twice as much"),
        (lambda images: images.std(dim=0).sum(), "the sum of all 144"),
        (lambda images: images.std(dim=0).median(), "the median"),
        (lambda images: images.std(dim=0).max(), "the largest one"),
        (lambda images: images.var(dim=0).mean().sqrt(), "the root of the mean *variance*"),
        (lambda images: images.numpy().var(axis=0).mean() ** 0.5, "the root of the mean *var"),
        (lambda images: images.var(dim=0).mean(), "that is the variance, the square of it"),
        (lambda images: images.numpy().var(axis=0).mean(), "that is the variance, the square"),
        (lambda images: images.mean(dim=(1, 2, 3)).std(), "the deviation of the pictures' means"),
        (lambda images: images.mean(dim=1).std(dim=0).mean(), "after the colours were averaged"),
        (lambda images: (images - images.mean(0)).abs().mean(), "the mean distance from the mean"),
        (lambda images: (images.amax(0) - images.amin(0)).mean(), "from the smallest to the larg"),
        (lambda images: images.std(dim=0), "not an object of type Tensor of shape (3, 8, 6)"),
        (lambda images: 1.3 * images.std(dim=0).mean(), "each value's standard deviation"),
    ],
)
def test_wrong_varieties(answer, words):
    verdict = check.variety(answer)
    assert verdict.passed is False
    assert words in verdict.message


def test_a_block_of_one_size_only():
    assert "use `inputs` and" in check.discriminator_block(lambda a, b: block(8, 16)).message
