"""Checkers of lesson 8: the way there and back, how far a patch reaches, where a picture is off."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import cyclegan
from course_lib.exercises.frame import call, checker, kind, require


@checker("8.1")
def cycle_loss(loss: Callable) -> str:
    """`loss(there, back, a, b)`: how far there and back lead from where it began, both ways round.

    there, back: functions of images; a, b: (B, 3, S, S) of the two domains; the answer: a number.
    """
    a, b = torch.rand(3, 3, 8, 8) - 0.9, torch.rand(3, 3, 8, 8) - 0.5
    answer = call(loss, _there, _back, a, b)
    require(
        isinstance(answer, Tensor) and answer.ndim == 0,
        f"Return one number that `backward` can start from, not {_form(answer)}.",
    )
    round_a, round_b = _back(_there(a)) - a, _there(_back(b)) - b
    right = round_a.abs().mean() + round_b.abs().mean()
    if not torch.isclose(answer, right, rtol=1e-4):
        _why_not_round(answer.detach(), right, a, b, round_a, round_b)
    _learns_through_both(loss, a, b)
    return "both ways round, and the gradient reaches both generators on each of them"


def _there(images: Tensor) -> Tensor:
    return 0.7 * images + 0.2


def _back(images: Tensor) -> Tensor:
    return 1.2 * images - 0.3


def _why_not_round(
    answer: Tensor, right: Tensor, a: Tensor, b: Tensor, round_a: Tensor, round_b: Tensor
) -> None:
    def is_(other: Tensor) -> bool:
        return bool(torch.isclose(answer, other, rtol=1e-4))

    require(
        not is_(F.l1_loss(_there(a), b) + F.l1_loss(_back(b), a)),
        "You compare `there(a)` with `b`: as if picture i of one domain belonged to picture i of "
        "the other. There are no pairs. Go back with `back(there(a))`, and compare with `a`.",
    )
    require(
        not is_(F.l1_loss(_there(b), b) + F.l1_loss(_back(a), a)),
        "That is the identity loss: what is in the domain already stays as it is. "
        "Here every picture travels to the other domain first, and then home.",
    )
    require(
        not is_(F.l1_loss(_there(_back(a)), a) + F.l1_loss(_back(_there(b)), b)),
        "You set out with the wrong generator: `there` takes pictures of a, `back` those of b.",
    )
    require(
        not is_(round_a.abs().mean()) and not is_(round_b.abs().mean()),
        "That is one way round. Add the other: from a over b to a, and from b over a to b.",
    )
    require(
        not is_(right / 2),
        f"{right:.4f} expected, half of it found: add the two ways round, do not average them "
        "(or the weight 10 of the paper would be a 5).",
    )
    require(
        not is_(round_a.square().mean() + round_b.square().mean()),
        "You take squares (L2). The paper's cycle loss takes absolute values (L1): squares forgive "
        "many small errors, and pictures grow soft.",
    )
    require(
        not is_(round_a.abs().sum() + round_b.abs().sum()),
        "You add up all pixels. Take the mean: else the weight would depend on the picture's size.",
    )
    require(
        not is_(round_a.mean() + round_b.mean()),
        "Without absolute values too bright here and too dark there cancel out: `.abs()`.",
    )
    require(
        not is_(round_a.mean().abs() + round_b.mean().abs())
        and not is_((round_a + round_b).abs().mean()),
        "Absolute value first, of every pixel of each way round, then the mean: otherwise too "
        "bright and too dark cancel out.",
    )
    require(False, f"{right:.4f} expected, {float(answer):.4f} found: mean |back(there(a)) - a|, …")


def _learns_through_both(loss: Callable, a: Tensor, b: Tensor) -> None:
    weights = torch.ones(2, requires_grad=True)
    value = call(loss, lambda x: weights[0] * _there(x), lambda x: weights[1] * _back(x), a, b)
    require(
        value.requires_grad,
        "No gradient: something is detached, or computed under `no_grad`. Both generators should "
        "learn from this loss.",
    )
    # With only one part of the ways round left in the graph, one of the two slopes is another.
    (slopes,) = torch.autograd.grad(value, weights)
    again = torch.ones(2, requires_grad=True)
    whole = F.l1_loss(again[1] * _back(again[0] * _there(a)), a)
    whole = whole + F.l1_loss(again[0] * _there(again[1] * _back(b)), b)
    (right,) = torch.autograd.grad(whole, again)
    require(
        torch.allclose(slopes, right, rtol=1e-3, atol=1e-5),
        "The number is right, the gradient is not: the picture in the middle is detached, so only "
        "the second generator of each way learns. The first has to leave the second what it needs.",
    )


@checker("8.2")
def patch(reach: Callable) -> str:
    """`reach(layers)`: the side of the patch that one score sees; layers: (kernel, stride) each."""
    for layers in ([(3, 1)], [(3, 1), (3, 1)], [(4, 2), (4, 2), (4, 1)], _OURS, _CLOSE, _PAPERS):
        answer = call(reach, list(layers))
        require(
            isinstance(answer, int) and not isinstance(answer, bool),
            f"Return a whole number of pixels, not {kind(answer)}.",
        )
        if answer != _reach(layers):
            _why_not_so_far(answer, layers)
    return "24 and 7 of 64 pixels for ours, 70 of 256 for the paper's"


_OURS = [(3, 1), (4, 2), (4, 2), (4, 1)]
_CLOSE = [(3, 1), (3, 1), (3, 1), (1, 1)]  # for the edges
_PAPERS = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]  # Isola et al. 2016: "70×70 PatchGAN"


def _reach(layers: list[tuple[int, int]]) -> int:
    side, step = 1, 1
    for kernel, stride in layers:
        side, step = side + (kernel - 1) * step, step * stride
    return side


def _why_not_so_far(answer: int, layers: list[tuple[int, int]]) -> None:
    what = f"{layers}: {_reach(layers)} pixels, you say {answer}."
    product = 1
    for kernel, _ in layers:
        product *= kernel
    after, step, backwards, one_before, before = 1, 1, 1, 1, 1
    for kernel, stride in layers:
        step *= stride
        after += (kernel - 1) * step
        backwards = (backwards - 1) * stride + kernel
        one_before, before = one_before + (kernel - 1) * before, stride
    require(
        answer != sum(kernel for kernel, _ in layers) or len(layers) == 1,
        f"{what} You add up the kernels. Neighbouring patches overlap, and a layer behind one of "
        "stride 2 walks in steps of two pixels.",
    )
    require(
        answer != product or len(layers) == 1,
        f"{what} You multiply the kernels, as if the patches lay side by side: they overlap.",
    )
    require(
        answer != 1 + sum(kernel - 1 for kernel, _ in layers),
        f"{what} Right if all strides were 1. Behind a layer of stride 2 the next one's inputs are "
        "two pixels apart: multiply its (kernel - 1) by all strides *before* it.",
    )
    require(
        answer != after,
        f"{what} You count a layer's own stride already. It moves the *next* layers apart.",
    )
    require(
        answer != backwards,
        f"{what} (r - 1) × stride + kernel is for going from the *last* layer to the first: "
        "`reversed(layers)`. From the first on, keep the step between neighbours beside the side.",
    )
    require(
        answer != _reach(layers[::-1]),
        f"{what} You go through the layers from the last to the first, and let strides of later "
        "layers widen earlier ones.",
    )
    require(
        answer != one_before,
        f"{what} You count only the stride of the layer just before. All strides before it have "
        "moved its inputs apart: multiply them.",
    )
    require(
        answer != _reach(layers) - 1,
        f"{what} One too few: begin with 1, the pixel itself.",
    )
    require(False, f"{what} Begin with 1 pixel; each layer adds (kernel - 1) × strides before it.")


@checker("8.3")
def inside_and_outside(errors: Callable) -> str:
    """`errors(outputs, inputs, targets)`: mean absolute errors, in levels, where the pair differs
    and where it does not; images (B, 3, S, S) in [-1, 1].
    """
    inputs = torch.rand(2, 3, 8, 8) - 0.5
    targets = inputs.clone()
    targets[:, 1, 2:5, 1:7] += 0.4  # in one colour channel alone, and in few of the pixels
    targets[:, 0, 6] += 6 / 127.5  # too little to count
    targets[:, 2, 7] += 12 / 127.5  # enough, though the mean of the channels is 4
    targets[:, :, 0, :4] += 12 / 127.5
    outputs = (targets + 0.1 * torch.rand(2, 3, 8, 8)).clone()
    outputs[:, :, :2] -= 0.3
    answer = call(_expanded(errors), outputs, inputs, targets)
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"Return two numbers, inside and outside, not {_form(answer)}.",
    )
    found = [float(one) for one in answer]
    require(
        not any(map(math.isnan, found)),
        "Nothing is left of one of the two: your mask is empty, or full. 8 levels are 8 / 127.5 in "
        "units of [-1, 1], and a difference may be negative: `.abs()`.",
    )
    right = list(cyclegan.errors(outputs, inputs, targets))
    if not _alike(found, right):
        _why_not_these(found, right, outputs, inputs, targets)
    return "the mask comes from the exact pair, and each mean is over its own pixels"


def _expanded(errors: Callable) -> Callable:
    """The same function; a mask that does not fit gets a word of its own."""

    def with_a_word(*images: Tensor) -> object:
        try:
            return errors(*images)
        except IndexError as error:
            require(
                "mask" not in str(error),
                "A mask of (B, 1, S, S) does not fit (B, 3, S, S) as an index: "
                "`mask.expand_as(off)`.",
            )
            raise

    return with_a_word


def _alike(found: list[float], others: list[float]) -> bool:
    return all(
        abs(one - other) < 1e-3 * abs(other) + 1e-6
        for one, other in zip(found, others, strict=True)
    )


def _why_not_these(
    found: list[float], right: list[float], outputs: Tensor, inputs: Tensor, targets: Tensor
) -> None:
    off = (outputs - targets).abs()
    mask = cyclegan.differs(inputs, targets).expand_as(off)
    require(
        not _alike(found, right[::-1]),
        "Turned round: first where input and target differ, then where they do not.",
    )
    _not_other_units(found, right, off, (inputs - targets).abs())
    whole = [float((off * part).mean() * 127.5) for part in (mask, ~mask)]
    require(
        not _alike(found, whole),
        "You set the other pixels to 0 and then average over all of them. Average over the chosen "
        "pixels alone: `off[mask].mean()`.",
    )
    for other in (inputs, targets):
        changed = cyclegan.differs(outputs, other).expand_as(off)
        theirs = [float(off[part].mean() * 127.5) for part in (changed, ~changed)]
        require(
            not _alike(found, theirs),
            "Your mask depends on the output: then a generator chooses for itself what it is asked "
            "about. It is where the *exact pair*, input and target, differs.",
        )
    single = (inputs - targets).abs() * 127.5 > 8
    channels = [float(off[part].mean() * 127.5) for part in (single, ~single)]
    require(
        not _alike(found, channels),
        "You decide for each colour channel by itself. A pixel differs if *any* of its three "
        "channels does: `.amax(1, keepdim=True)`.",
    )
    moved = (outputs - inputs).abs()
    require(
        not _alike(found, [float(moved[part].mean() * 127.5) for part in (mask, ~mask)]),
        "You measure how far the output is from the *input*: copying would be perfect.",
    )
    _not_another_threshold(found, off, (inputs - targets).abs() * 127.5)
    require(
        not _alike(found, [right[0], float(moved[~mask].mean() * 127.5)]),
        "Outside you measure from the input. Both errors are how far the output is from the "
        "target.",
    )
    squares = [float((outputs - targets)[part].square().mean()) for part in (mask, ~mask)]
    require(
        not any(_alike(found, [k * one for one in squares]) for k in (1, 127.5, 127.5**2)),
        "You take squares; asked for are absolute values.",
    )
    require(
        False,
        f"Inside {right[0]:.2f} and outside {right[1]:.2f} expected, {found[0]:.2f} and "
        f"{found[1]:.2f} found.",
    )


def _not_other_units(
    found: list[float], right: list[float], off: Tensor, difference: Tensor
) -> None:
    require(
        not _alike(found, [one / 127.5 for one in right]),
        "Right, in units of [-1, 1]. A level is a 255th of the whole range, 2: × 127.5.",
    )
    require(
        not _alike(found, [2 * one for one in right]),
        "Twice too much: the range is 2 wide, so one unit is 127.5 levels, not 255.",
    )
    early = difference.amax(1, keepdim=True).expand_as(off) * 255 > 8
    require(
        not _alike(found, [float(off[part].mean() * 255) for part in (early, ~early)]),
        "Twice too much, in the mask as well: the range is 2 wide, so one unit is 127.5 levels, "
        "not 255.",
    )


def _not_another_threshold(found: list[float], off: Tensor, difference: Tensor) -> None:
    """difference: of inputs and targets, in levels, (B, 3, S, S)."""
    mean = (difference.mean(1, keepdim=True) > 8).expand_as(off)
    require(
        not _alike(found, [float(off[part].mean() * 127.5) for part in (mean, ~mean)]),
        "You take the mean of the three channels. A pixel differs if *any* of them does: `.amax(1, "
        "keepdim=True)`.",
    )
    for least in (0, 4, 5, 16, 30):
        other = (difference.amax(1, keepdim=True) > least).expand_as(off)
        require(
            not _alike(found, [float(off[part].mean() * 127.5) for part in (other, ~other)]),
            "Your threshold is not 8 levels: 8 / 127.5 in units of [-1, 1].",
        )


def _form(answer: object) -> str:
    if isinstance(answer, Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    return kind(answer)
