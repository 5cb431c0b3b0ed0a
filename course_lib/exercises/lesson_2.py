"""Lesson 2's exercises: sizes, blocks and networks."""

from collections.abc import Callable

import torch
from torch import nn

from course_lib.exercises.frame import call, checker, kind, require


@checker("2.1")
def output_side(side_after: Callable[..., int]) -> str:
    """`side_after(side, kernel, stride, padding, transposed)` against PyTorch's own layers."""
    cases = [(64, 4, 2, 1), (4, 4, 1, 0), (8, 3, 1, 1), (5, 3, 2, 0), (9, 4, 2, 1), (7, 5, 3, 2)]
    for transposed, layer in ((False, nn.Conv2d), (True, nn.ConvTranspose2d)):
        for side, kernel, stride, padding in cases:
            answer = call(side_after, side, kernel, stride, padding, transposed)
            true = layer(1, 1, kernel, stride, padding)(torch.zeros(1, 1, side, side)).shape[-1]
            asked = f"side_after({side}, {kernel}, {stride}, {padding}, transposed={transposed})"
            lost = (side + 2 * padding - kernel) % stride
            hint = ""
            if not transposed and lost and true < float(answer) <= true + 1:
                over = "one pixel is" if lost == 1 else f"{lost} pixels are"
                hint = (
                    " A kernel that would stand over the edge is left out, and here "
                    f"{over} left over: round down, with //."
                )
            elif not transposed and answer == true - 1:
                hint = " The first place of the kernel counts too: + 1."
            elif transposed and answer == true + 2 * padding:
                hint = f" The padding cuts {padding} off on either side."
            elif transposed and answer == true + stride - kernel:
                hint = f" The last stamp is {kernel} wide, not {stride}."
            elif transposed and answer == (side + 2 * padding - kernel) // stride + 1:
                hint = " That is the ordinary convolution: turn it around."
            require(
                answer == true,
                f"{asked} gives {answer}; PyTorch's {layer.__name__} makes {true} pixels.{hint}",
            )
    return f"Right for all {2 * len(cases)} layers that were tried, six of each kind."


@checker("2.2")
def deeper_generator(deeper: Callable[[int], nn.Module]) -> str:
    """`deeper(width)`: a generator of 128×128 images, for any width."""
    generator = call(deeper, 16)
    require(
        isinstance(generator, nn.Module),
        f"deeper(16) gives {kind(generator)}; it should give a network, an nn.Module.",
    )
    images = generator(torch.randn(8, 100, 1, 1))
    require(
        isinstance(images, torch.Tensor) and images.ndim == 4,
        "The network should turn noise (8, 100, 1, 1) into images (8, 3, 128, 128).",
    )
    batch, channels, side = images.shape[:3]
    doublings = torch.tensor(128 / side).log2().item()
    missing = {1: "one doubling is missing", -1: "one doubling too many"}.get(doublings, "")
    require(
        side == 128,
        f"Your picture is {side}×{images.shape[3]}, not 128×128{missing and ': ' + missing}.",
    )
    require(batch == 8, f"8 noises went in, {batch} pictures came out.")
    require(channels == 3, f"Your picture has {channels} channels; red, green and blue make 3.")
    low, high = images.min().item(), images.max().item()
    require(
        low >= -1 and high <= 1,
        f"Your pictures reach from {low:.2f} to {high:.2f}. Faces live in [-1, 1]: end in Tanh.",
    )
    require(
        images.std(dim=0).mean() > 1e-3,
        "Eight different noises give the same picture: the noise is lost on the way.",
    )
    wide = _parameters(call(deeper, 32)) / _parameters(generator)
    require(
        wide > 2,
        f"deeper(32) has {wide:.2f} times the parameters of deeper(16): it ignores the width.",
    )
    number, before = _parameters(call(deeper, 64)), 3_576_704  # those of dcgan.Generator()
    growth = number / before - 1
    require(
        growth < 0.1,
        f"128×128, but {number:,} parameters at width 64, {growth:+.1%}: your new doubling is not "
        "at the end. At the start, where the maps are many, it is dear; let it follow the `width` "
        "maps of 32×32.",
    )
    require(
        0.007 < growth < 0.01,
        f"128×128, but {number:,} parameters at width 64, {growth:+.1%}: a transposed convolution "
        "from `width` to `width // 2` maps, and one from there to the picture, make about +0.9%.",
    )
    return (
        f"128×128 in [-1, 1], and {number:,} parameters at width 64: "
        f"{growth:+.1%} against the generator of 64×64."
    )


@checker("2.3")
def discriminator_block(block: Callable[[int, int], nn.Module]) -> str:
    """`block(inputs, outputs)`: one of the middle steps of the article's discriminator."""
    network = call(block, 8, 16)
    require(
        isinstance(network, nn.Module),
        f"block(8, 16) gives {kind(network)}; it should give a network, such as nn.Sequential.",
    )
    images = 5 + 3 * torch.randn(32, 8, 16, 16)
    maps = network(images)
    require(
        maps.shape == (32, 16, 8, 8),
        f"(32, 8, 16, 16) became {tuple(maps.shape)}; half the side, 16 maps: (32, 16, 8, 8).",
    )
    kernels = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    require(len(kernels) == 1, f"Your block has {len(kernels)} convolutions; one is enough.")
    require(
        kernels[0].kernel_size == (4, 4),
        f"The kernel is {kernels[0].kernel_size[0]}×{kernels[0].kernel_size[1]}; D's are 4×4.",
    )
    require(
        kernels[0].bias is None,
        "The convolution has a bias, 16 numbers too many: BatchNorm takes the mean away again, "
        "so it could learn nothing. Say bias=False.",
    )
    positive = maps[maps > 0]
    require(
        bool((maps < 0).any()),
        "Nothing negative comes out: that is a ReLU. A LeakyReLU lets a fifth of it through.",
    )
    normal = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    require(
        bool(normal) and 0.5 < positive.pow(2).mean().sqrt() < 2,
        "The maps are not normalised: BatchNorm2d is missing, or it does not stand between the "
        "convolution and the LeakyReLU.",
    )
    # Behind BatchNorm a map has mean 0: the sum of its negative part shows the slope.
    slope = (maps.clamp(max=0).sum() / -maps.clamp(min=0).sum()).item()
    why = ""
    if slope > 0.9 and any(isinstance(m, nn.LeakyReLU) for m in network.modules()):
        why = " BatchNorm stands behind the LeakyReLU; it comes before."
    elif slope > 0.9:
        why = " The LeakyReLU is missing; it comes last."
    require(
        abs(slope - 0.2) < 0.01,
        f"Below zero your block lets {slope:.2f} of the value through; the article's slope is 0.2."
        f"{why}",
    )
    return "One convolution, normalised, a slope of 0.20 below zero: this is D's middle block."


@checker("2.4")
def variety(measure: Callable[[torch.Tensor], float]) -> str:
    """`variety(images)`: the standard deviation over the batch, averaged over everything else."""
    picture = torch.rand(1, 3, 8, 8) * 2 - 1
    same = float(call(measure, picture.expand(4, -1, -1, -1).clone()))
    require(
        abs(same) < 1e-6,
        f"Four copies of one picture get {same:.2f}, not 0: compare the pictures with each other "
        "(dim=0), not the pixels inside a picture.",
    )
    images = torch.rand(16, 3, 8, 8) * 2 - 1
    answer, true = float(call(measure, images)), images.std(dim=0).mean().item()
    require(
        abs(answer - true) < 0.03,
        f"Sixteen random pictures get {answer:.2f}; each value's standard deviation over the "
        f"batch, averaged, is {true:.2f}.",
    )
    twice = float(call(measure, images / 2))
    require(
        abs(twice - true / 2) < 0.02,
        f"Half the contrast should have half the variety, {true / 2:.2f}; you get {twice:.2f}.",
    )
    return f"0 for copies, {true:.2f} for random pictures: now use it on the generator."


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
