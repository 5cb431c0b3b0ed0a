"""Lesson 2's figures: what a transposed convolution does, and the two networks of a DCGAN."""

import copy
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch

from course_lib.pixels import to_uint8
from course_lib.plots.figures import DISCRIMINATOR, GENERATOR, PALETTE, styled


@styled
def show_stamps(layers: Sequence[tuple[int, int, int]], pixels: int = 5) -> None:
    """Draw transposed convolutions in one dimension: every input pixel stamps its kernel below.

    layers: (kernel, stride, padding) of each panel. Bars at the foot count the stamps on each
    output pixel; what the padding cuts off is hatched.
    """
    _, all_axes = plt.subplots(1, len(layers), figsize=(5 * len(layers), 4), squeeze=False)
    for (kernel, stride, padding), axes in zip(layers, all_axes[0], strict=True):
        length = (pixels - 1) * stride + kernel  # before the padding is cut off
        counts = np.zeros(length, int)
        middle = (length - 1) / 2
        for i in range(pixels):
            left = i * stride
            counts[left : left + kernel] += 1
            above, colour = middle + (i - (pixels - 1) / 2) * stride, PALETTE[i % len(PALETTE)]
            edges = ([above - 0.45, above + 0.45, left + kernel - 0.55, left - 0.45], [5, 5, 3, 3])
            axes.fill(*edges, color=colour, alpha=0.28, linewidth=0)
            axes.add_patch(plt.Rectangle((above - 0.45, 5), 0.9, 0.6, color=colour))
        for j, count in enumerate(counts):
            cut = not padding <= j < length - padding
            look = {"facecolor": "white" if cut else "#DDDDDD", "hatch": "////" if cut else None}
            axes.add_patch(plt.Rectangle((j - 0.45, 2.4), 0.9, 0.6, edgecolor="#999999", **look))
            if not cut:
                axes.bar(j, 0.8 * count, 0.9, color="#444444")
                axes.text(j, 0.8 * count, str(count), ha="center", va="bottom", fontsize=9)
        size = length - 2 * padding
        axes.set(title=f"kernel {kernel}, stride {stride}, padding {padding}: {pixels} → {size}")
        axes.set(xticks=[], yticks=[0.8, 2.7, 5.3], yticklabels=["stamps", "output", "input"])
        axes.set(xlim=(-0.8, length - 0.2), ylim=(0, 5.8))
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    plt.show()


@styled
def show_networks(generator, discriminator, noise: torch.Tensor, images: torch.Tensor) -> None:
    """Draw a DCGAN's two networks: G above from left to right, D below from right to left.

    Both have their layers in an attribute `main`. noise (B, noise_size), images (B, C, S, S): both
    are sent through, and the first is drawn. The square root of every size is drawn to scale.
    """
    figure, axes = plt.subplots(figsize=(11, 4.6))
    forger = _stages(generator.main, noise.reshape(*noise.shape[:2], 1, 1))
    judge = _stages(discriminator.main, images)[::-1]
    for row, stages, colour in ((1.15, forger, GENERATOR), (0, judge, DISCRIMINATOR)):
        step = 0.5 if row else -0.5  # a layer stands left of its output in G, right of it in D
        for column, (values, layers) in enumerate(stages):
            channels, side = values.shape[1:3]
            height = 0.08 * side**0.5
            text = f"{channels} × {side} × {side}"
            if channels == side == 1:
                text = "D(x)" if "Sigmoid" in layers else "score"
            if column < len(stages) - 1:
                _box(axes, column, row, max(0.06, 0.018 * channels**0.5), height, colour)
            else:
                half = height / 2
                ends = (column - half, column + half, row - half, row + half)
                axes.imshow(to_uint8(values[:1])[0], extent=ends, interpolation="nearest", zorder=3)
            axes.text(column, row - height / 2 - 0.06, text, ha="center", va="top")
            if layers:
                x, y = column - step, row + 0.3
                axes.annotate(
                    "", (x + 0.2 * step, y), (x - 0.2 * step, y), arrowprops={"arrowstyle": "-|>"}
                )
                axes.text(
                    x, y + 0.04, layers, ha="center", va="bottom", fontsize=8, color="#444444"
                )
    axes.text(-0.4, 1.75, "Generator →", fontsize=13, color=GENERATOR, weight="bold")
    axes.text(-0.4, 0.6, "← Discriminator", fontsize=13, color=DISCRIMINATOR, weight="bold")
    axes.set(xlim=(-0.4, len(forger) - 0.6), ylim=(-0.5, 1.95), aspect="equal")
    axes.axis("off")
    figure.get_layout_engine().set(w_pad=0, h_pad=0)
    plt.show()


def _stages(layers, x: torch.Tensor) -> list[tuple[torch.Tensor, str]]:
    """The input, then what each convolution and its followers make of it, and their names."""
    stages = [(x, "")]
    with torch.no_grad():
        for layer in copy.deepcopy(layers):  # BatchNorm's averages stay as they are
            x = layer(x)
            if hasattr(layer, "kernel_size"):
                numbers = layer.kernel_size[0], layer.stride[0], layer.padding[0]
                stages.append((x, "kernel {}\nstride {}, pad {}".format(*numbers)))
            else:
                name = type(layer).__name__.removesuffix("2d")
                stages[-1] = (x, f"{stages[-1][1]}\n{name}")
    return stages


def _box(axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    """A block centred at (x, y) in oblique projection; width for channels, height for the side."""
    left, right, low, high = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    shift, rise = 0.3 * height, 0.3 * height
    faces = (
        (([left, right, right, left], [low, low, high, high]), 0.55),
        (([left, right, right + shift, left + shift], [high, high, high + rise, high + rise]), 0.3),
        (([right, right + shift, right + shift, right], [low, low + rise, high + rise, high]), 0.8),
    )
    for corners, alpha in faces:
        axes.fill(*corners, facecolor=colour, alpha=alpha, zorder=2)
        axes.fill(*corners, facecolor="none", edgecolor="white", linewidth=1, zorder=2)
