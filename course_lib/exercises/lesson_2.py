"""Lesson 2's exercises: sizes, blocks and networks."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.exercises.frame import call, checker, kind, number, require
from course_lib.exercises.watch import Convolution, bend, normalised, watch, words

# What students write for the side after a layer of each kind, and what they have overlooked.
_ORDINARY = (
    (
        lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1,
        "A kernel that would stand over the edge is left out: round down, with //.",
    ),
    (
        lambda n, k, s, p: round((n + 2 * p - k) / s) + 1,
        "A kernel that would stand over the edge is left out: round down, with //, not to the "
        "nearest.",
    ),
    (lambda n, k, s, p: (n + 2 * p - k) // s, "The first place of the kernel counts too: + 1."),
    (lambda n, k, s, p: (n + p - k) // s + 1, "The padding stands on both sides: 2 · padding."),
    (lambda n, k, s, p: (n - k) // s + 1, "You forgot the padding, which stands on both sides."),
    (lambda n, k, s, p: n + 2 * p - k + 1, "You forgot the stride: kernels stand that far apart."),
    (lambda n, k, s, p: (n - 1) * s + k - 2 * p, "That is the transposed one: turn it around."),
)
_TRANSPOSED = (
    (
        lambda n, k, s, p: (n + 2 * p - k) // s + 1,
        "That is the ordinary convolution: turn it around.",
    ),
    (
        lambda n, k, s, p: (n - 1) * s + k,
        "You forgot the padding, which cuts {p} off on either side.",
    ),
    (lambda n, k, s, p: (n - 1) * s + k - p, "The padding cuts {p} off on *either* side."),
    (lambda n, k, s, p: (n - 1) * s + k + 2 * p, "Here the padding takes away: it cuts off."),
    (lambda n, k, s, p: n * s - 2 * p, "The last stamp is {k} wide, not {s}."),
    (lambda n, k, s, p: n * s + k - 2 * p, "From the first stamp to the last it is n - 1 strides."),
)


@checker("2.1")
def output_side(side_after: Callable[..., int]) -> str:
    """`side_after(side, kernel, stride, padding, transposed)` against PyTorch's own layers."""
    cases = [(64, 4, 2, 1), (4, 4, 1, 0), (8, 3, 1, 1), (5, 3, 2, 0), (9, 4, 2, 1), (7, 5, 3, 2)]
    cases += [(10, 4, 3, 1), (6, 6, 5, 3)]
    for transposed, layer, known in (
        (False, nn.Conv2d, _ORDINARY),
        (True, nn.ConvTranspose2d, _TRANSPOSED),
    ):
        answers = [number(call(side_after, *case, transposed)) for case in cases]
        for answer, case in zip(answers, cases, strict=True):
            side, kernel, stride, padding = case
            true = layer(1, 1, kernel, stride, padding)(torch.zeros(1, 1, side, side)).shape[-1]
            asked = f"side_after({side}, {kernel}, {stride}, {padding}, transposed={transposed})"
            hint = "".join(
                " " + why.format(k=kernel, s=stride, p=padding)
                for mistaken, why in known
                if answers == [mistaken(*case) for case in cases]
            )
            lost = (side + 2 * padding - kernel) % stride
            if not transposed and true < answer < true + 1:
                over = "one pixel is" if lost == 1 else f"{lost} pixels are"
                hint = (
                    " A kernel that would stand over the edge is left out, and here "
                    f"{over} left over: round down, with //."
                )
            require(
                answer == true,
                f"{asked} gives {answer:g}; PyTorch's {layer.__name__} makes {true} pixels.{hint}",
            )
    return f"Right for all {2 * len(cases)} layers that were tried, half of each kind."


@checker("2.2")
def deeper_generator(deeper: Callable[[int], nn.Module]) -> str:
    """`deeper(width)`: a generator of 128×128 images, for any width."""
    require(
        not isinstance(deeper, nn.Module),
        "That is a network; give the function that makes one, of any width.",
    )
    generator = call(deeper, 16)
    require(
        isinstance(generator, nn.Module),
        f"deeper(16) gives {kind(generator)}; it should give a network, an nn.Module.",
    )
    images, convolutions, _ = watch(generator, torch.randn(8, 100, 1, 1))
    _are_large_pictures(images, convolutions)
    wide = _parameters(call(deeper, 32)) / _parameters(generator)
    require(
        wide > 2,
        f"deeper(32) has {wide:.2f} times the parameters of deeper(16): it ignores the width.",
    )
    count, before = _parameters(call(deeper, 64)), 3_576_704  # those of dcgan.Generator()
    growth = count / before - 1
    require(
        growth < 0.1,
        f"128×128, but {count:,} parameters at width 64, {growth:+.1%}: your new doubling is not "
        "at the end. At the start, where the maps are many, it is expensive; let it follow the "
        "`width` maps of 32×32.",
    )
    _are_the_articles(convolutions)
    require(
        count == before + 64 * 32 * 16 + 2 * 32 - 32 * 3 * 16,
        f"128×128, but {count:,} parameters at width 64, {growth:+.1%}: a transposed convolution "
        "from `width` to `width // 2` maps, BatchNorm, and a convolution from there to the "
        "picture, make +0.9%, 3,608,000.",
    )
    return (
        f"128×128 in [-1, 1], and {count:,} parameters at width 64: "
        f"{growth:+.1%} against the generator of 64×64."
    )


def _are_large_pictures(images: Any, convolutions: list[Convolution]) -> None:
    """Require eight different pictures (8, 3, 128, 128) in [-1, 1], by Tanh."""
    require(
        isinstance(images, Tensor) and images.ndim == 4,
        "The network should turn noise (8, 100, 1, 1) into images (8, 3, 128, 128).",
    )
    batch, channels, side, breadth = images.shape
    doublings = math.log2(128 / side)
    missing = {1: ": one doubling is missing", -1: ": one doubling too many"}.get(doublings, "")
    require(
        (side, breadth) == (128, 128),
        f"Your picture is {side}×{breadth}, not 128×128{missing}.",
    )
    require(batch == 8, f"8 noises went in, {batch} pictures came out.")
    require(channels == 3, f"Your picture has {channels} channels; red, green and blue make 3.")
    last = convolutions[-1].made if convolutions else images
    same = last.shape == images.shape
    require(
        not (same and torch.allclose(images, last.sigmoid(), atol=1e-5)),
        "Your pictures lie in [0, 1]: they end in a Sigmoid. Faces live in [-1, 1]: end in Tanh.",
    )
    require(
        not (same and {"hardtanh", "clamp", "clip"} & set(convolutions[-1].then)),
        "Your pictures are cut off at -1 and 1 (Hardtanh, clamp): beyond them the gradient is 0, "
        "and G could not find back. Tanh bends gently.",
    )
    low, high = images.min().item(), images.max().item()
    require(
        low >= -1 and high <= 1 and not torch.equal(images, last),
        f"Your pictures reach from {low:.2f} to {high:.2f}, and nothing keeps them in. Faces live "
        "in [-1, 1]: end in Tanh.",
    )
    require(
        images.std(dim=0).mean() > 1e-3,
        "Eight different noises give the same picture: the noise is lost on the way.",
    )
    require(
        same and torch.allclose(images, last.tanh(), atol=1e-5),
        "Behind the last convolution comes Tanh, and nothing else; yours does "
        f"{words(convolutions[-1].then) if convolutions else 'no convolution at all'}.",
    )


def _are_the_articles(convolutions: list[Convolution]) -> None:
    """Require what stands between the convolutions: no bias, BatchNorm, ReLU."""
    strange = [c for c in convolutions if not c.transposed]
    require(
        not strange,
        "One of your steps is an ordinary convolution. Our generator doubles by transposed ones, "
        "nn.ConvTranspose2d, with stride 2.",
    )
    for i, one in enumerate(convolutions, 1):
        last = one is convolutions[-1]
        why = (
            "ours has none there either"
            if last
            else "BatchNorm takes the mean away again, so it could learn nothing"
        )
        require(
            not one.bias,
            f"Convolution {i} of {len(convolutions)} has a bias: {why}. Say bias=False.",
        )
        if not last:
            _is_bent(one, convolutions[i].taken, f"Behind convolution {i} of {len(convolutions)}")


def _is_bent(one: Convolution, taken: Tensor, where: str) -> None:
    """Require BatchNorm and ReLU between one of G's convolutions and what the next one takes."""
    how, slope = bend(one.made, taken)
    straight = slope > 0.99
    require(
        not (how == "bend" and straight),
        f"{where} stands neither BatchNorm nor ReLU: two convolutions in a row can do no more "
        "than one.",
    )
    require(
        how != "bend",
        f"{where} BatchNorm is missing: the maps are not normalised. It stands between the "
        "convolution and the ReLU, as everywhere in our generator.",
    )
    require(
        not (how == "norm, bend" and straight),
        f"{where} the ReLU is missing: without a bend two convolutions can do no more than one.",
    )
    require(how != "bend, norm", f"{where} BatchNorm stands behind the ReLU; it comes before.")
    require(
        how != "instance norm, bend",
        f"{where} every picture is normalised by itself, which is InstanceNorm. BatchNorm "
        "normalises over the batch.",
    )
    require(
        how == "norm, bend",
        f"{where} come BatchNorm and ReLU, and nothing else; yours does {words(one.then)}.",
    )
    require(
        abs(slope) < 1e-3,
        f"{where} negative values are let through, {slope:.2f} of them: that is D's LeakyReLU. "
        "Ours has ReLU in G.",
    )


@checker("2.3")
def discriminator_block(block: Callable[[int, int], nn.Module]) -> str:
    """`block(inputs, outputs)`: one of the middle steps of the article's discriminator."""
    require(
        not isinstance(block, nn.Module),
        "That is a network; give the function that makes one, from any number of maps.",
    )
    network = call(block, 8, 16)
    require(
        isinstance(network, nn.Module),
        f"block(8, 16) gives {kind(network)}; it should give a network, such as nn.Sequential.",
    )
    images = 5 + 3 * torch.randn(32, 8, 16, 12)
    maps, convolutions, first = watch(network, images)
    require(
        len(convolutions) == 1,
        f"Your block has {len(convolutions)} convolutions; one is enough.",
    )
    require(
        isinstance(maps, Tensor),
        f"Your block turns maps into {kind(maps)}; it should make maps of them, a tensor.",
    )
    _is_ds_convolution(convolutions[0], maps, images, first)
    _is_ds_bend(convolutions[0], maps, network)
    weights = 8 * 16 * 4 * 4 + 2 * 16
    require(
        _parameters(network) == weights,
        f"Your block has {_parameters(network):,} numbers to learn; 8 · 16 kernels of 4×4, and a "
        f"scale and a shift for each of 16 maps, make {weights:,}.",
    )
    shapes = [tuple(p.shape[:2]) for p in call(block, 6, 10).parameters() if p.ndim == 4]
    require(
        shapes == [(10, 6)],
        "block(6, 10) is a block from 8 maps to 16 like block(8, 16): use `inputs` and `outputs`.",
    )
    return "One convolution, normalised, a slope of 0.20 below zero: this is D's middle block."


def _is_ds_convolution(one: Convolution, maps: Tensor, images: Tensor, first: list[str]) -> None:
    """Require a 4×4 convolution of stride 2, of the pictures as they are, without a bias."""
    require(
        not one.transposed, "That is a transposed convolution: it stamps, as G does. D shrinks."
    )
    moved = one.taken.shape == images.shape and torch.allclose(
        one.taken, normalised(images), atol=1e-3
    )
    require(
        not moved,
        "BatchNorm stands before the convolution and normalises what comes in; it belongs behind, "
        "so that what goes into the LeakyReLU is normalised.",
    )
    require(
        torch.equal(one.taken, images),
        "The convolution comes first; before it your block does "
        f"{words([name for name in first if name != 'clone'])}.",
    )
    require(
        one.kernel == (4, 4),
        f"The kernel is {one.kernel[0]}×{one.kernel[1]}; D's are 4×4.",
    )
    pooled = [name for name in one.then if "pool" in name or "interpolate" in name]
    require(
        one.stride == (2, 2),
        f"The convolution has a stride of {one.stride[0]}"
        + (f", and {pooled[0]} does the halving" if pooled else "")
        + ". D shrinks by the convolution's own stride, 2: so it may learn how.",
    )
    require(
        one.groups == 1,
        f"Your convolution has {one.groups} groups, so that each map sees only 1 in {one.groups} "
        "of the maps before it. D's sees all: leave `groups` out.",
    )
    require(
        one.dilation == (1, 1),
        f"The kernel's points stand {one.dilation[0]} apart (dilation); D's stand side by side.",
    )
    require(
        maps.shape == (32, 16, 8, 6),
        f"(32, 8, 16, 12) became {tuple(maps.shape)}; half the side, 16 maps: (32, 16, 8, 6).",
    )
    require(
        not one.bias,
        "The convolution has a bias, 16 numbers too many: BatchNorm takes the mean away again, "
        "so it could learn nothing. Say bias=False.",
    )


def _is_ds_bend(one: Convolution, maps: Tensor, network: nn.Module) -> None:
    """Require BatchNorm, then LeakyReLU with a slope of 0.2, and no more."""
    how, slope = bend(one.made, maps)
    require(
        how != "bend, norm",
        "BatchNorm stands behind the LeakyReLU; it comes before.",
    )
    require(
        how != "bend" or slope < 0.99,
        "Behind the convolution nothing follows: BatchNorm2d and LeakyReLU are missing.",
    )
    require(
        how != "bend",
        "The maps are not normalised: BatchNorm2d is missing between the convolution and the "
        "LeakyReLU.",
    )
    require(
        how != "instance norm, bend",
        "Every picture is normalised by itself, which is InstanceNorm. BatchNorm normalises over "
        "the batch.",
    )
    eps = [m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.eps > 1e-3]
    require(
        not eps,
        f"The second number of BatchNorm2d is no momentum but eps, what is added to the variance: "
        f"{eps[:1]}. Leave it out.",
    )
    require(
        how == "norm, bend",
        "Behind the convolution come BatchNorm and LeakyReLU, and nothing else; yours does "
        f"{words(one.then)}.",
    )
    require(
        slope > 1e-3,
        "Nothing negative comes out: that is a ReLU. A LeakyReLU lets a fifth of it through.",
    )
    require(slope < 0.99, "The LeakyReLU is missing; it comes last.")
    require(
        not any("prelu" in name for name in one.then),
        "That is a PReLU, which learns its slope; D's LeakyReLU keeps 0.2.",
    )
    require(
        abs(slope - 0.2) < 0.01,
        f"Below zero your block lets {slope:.2f} of the value through; the article's slope is 0.2.",
    )


@checker("2.4")
def variety(measure: Callable[[Tensor], float]) -> str:
    """`variety(images)`: the standard deviation over the batch, averaged over everything else."""
    picture = torch.rand(1, 3, 8, 6) * 2 - 1
    copies = picture.expand(4, -1, -1, -1)
    same = number(call(measure, copies.clone()))
    require(
        abs(same) < 1e-6,
        f"Four copies of one picture get {same:.2f}, not 0: compare the pictures with each other "
        "(dim=0), not the pixels inside a picture.",
    )
    # Some values differ much between pictures, others hardly: a mean is no median there.
    spreads = torch.rand(1, 3, 8, 6) ** 3
    images = (picture + spreads * torch.randn(15, 3, 8, 6)) / 4
    answer = number(call(measure, images.clone()))
    _is_variety(answer, images)
    return f"0 for copies, {answer:.2f} for the test's pictures: now use it on the generator."


def _is_variety(answer: float, images: Tensor) -> None:
    """Require the mean of the standard deviations; say which mistake it looks like."""
    each, count = images.std(dim=0), len(images)
    true = each.mean().item()
    biased = images.std(dim=0, correction=0).mean().item()  # NumPy's habit; as good an answer

    def close(value: Any) -> bool:
        return math.isclose(answer, float(value), rel_tol=1e-3)

    if close(true) or close(biased):
        return
    in_groups = (math.sqrt((count - 1) / count), 1.0)  # the same mistakes, with NumPy's habit
    for mistaken, why in (
        (each.median(), "the median. A few values that differ much are to count, too: average."),
        (each.pow(2).mean().sqrt(), "the root of the mean *variance*: average the deviations."),
        (each.pow(2).mean(), "the variance, the square of it: take the root before you average."),
        (each.max(), "the largest one. Average them all."),
        (each.sum(), f"the sum of all {each.numel()}: average them."),
        (2 * each.mean(), "twice as much."),
        (
            images.mean(dim=(1, 2, 3)).std(),
            "the deviation of the pictures' means. First the deviation of each value, then the "
            "mean: otherwise bright and dark places cancel out.",
        ),
        (
            images.mean(dim=1).std(dim=0).mean(),
            "the deviation after the colours were averaged: red and green would be one.",
        ),
    ):
        for habit in in_groups:
            square = "variance," in why
            require(
                not close(mistaken * (habit**2 if square else habit)),
                f"You get {answer:.3f}: that is {why}",
            )
    average_way = (images - images.mean(dim=0)).abs().mean()
    require(
        not close(average_way),
        f"You get {answer:.3f}: that is the mean distance from the mean, not the standard "
        "deviation, which squares the distances first.",
    )
    require(
        not close((images.amax(0) - images.amin(0)).mean()),
        f"You get {answer:.3f}: that is from the smallest to the largest, not the deviation.",
    )
    require(
        False,
        f"Fifteen random pictures get {answer:.3f}; each value's standard deviation over the "
        f"batch, averaged, is {true:.3f}.",
    )


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
