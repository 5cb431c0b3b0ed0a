"""Lesson 4's figures: thoughts, pairs of pictures and words, and who is taken for whom."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch

from course_lib.errors import CourseError
from course_lib.pixels import to_uint8
from course_lib.plots.figures import FAKE, GREEN, INK, MARKERS, styled


@styled
def show_thoughts(
    vectors: torch.Tensor,
    values: Sequence[str],
    colours: Mapping[str, str],
    kinds: Sequence[str] | None = None,
    title: str = "",
) -> None:
    """Draw thought vectors as points, those of one value in one colour and of one kind in one form.

    vectors: (N, W); of these the two directions in which they differ most are drawn (principal
    components). values: of each vector. colours: value → matplotlib's colour of it. kinds: of each
    vector, such as its language.
    """
    if not len(vectors) == len(values) == len(kinds or values):
        raise CourseError(f"{len(vectors)} vectors and {len(values)} values: give as many")
    centred = (vectors - vectors.mean(0)).cpu()
    points = (centred @ torch.linalg.svd(centred, full_matrices=False)[2][:2].T).numpy()
    kinds = list(kinds or [""] * len(values))
    _, axes = plt.subplots(figsize=(6.4, 4.6))
    for kind, marker in zip(dict.fromkeys(kinds), MARKERS, strict=False):
        for value in dict.fromkeys(values):
            here = [
                i for i, pair in enumerate(zip(values, kinds, strict=True)) if pair == (value, kind)
            ]
            look = {"color": colours[value], "marker": marker, "s": 34, "ec": INK, "lw": 0.4}
            axes.scatter(*points[here].T, **look)
    for value in dict.fromkeys(values):
        here = points[[i for i, one in enumerate(values) if one == value]]
        top = (here[:, 0].mean(), here[:, 1].max())
        look = {"ha": "center", "va": "bottom", "fontsize": 9, "textcoords": "offset points"}
        axes.annotate(value, top, (0, 5), **look)
    for kind, marker in zip(dict.fromkeys(kinds), MARKERS, strict=False):
        if kind:
            axes.scatter([], [], color="white", marker=marker, ec=INK, label=kind)
            axes.legend(loc="best")
    axes.set(title=title, xticks=[], yticks=[], xlabel="first direction", ylabel="second direction")
    axes.margins(0.08)
    plt.show()


@styled
def show_pairs(images, sentences: Sequence[str], labels: Sequence[int], columns: int = 3) -> None:
    """Draw pairs of an image and a sentence, framed by what D should say: 1 or 0.

    images: whatever `to_uint8` takes. sentences: in English, since many fonts know nothing else.
    """
    images = to_uint8(images)
    if not len(images) == len(sentences) == len(labels):
        raise CourseError("give as many images as sentences and labels")
    rows = -(-len(images) // columns)
    _, all_axes = plt.subplots(rows, columns, figsize=(3 * columns, 2.4 * rows), squeeze=False)
    for axes in all_axes.flat:
        axes.axis("off")
    for axes, image, sentence, label in zip(all_axes.flat, images, sentences, labels, strict=False):
        colour = GREEN if label else FAKE
        axes.imshow(image, interpolation="nearest")
        axes.add_patch(plt.Rectangle((-0.5, -0.5), 64, 64, fill=False, ec=colour, lw=5))
        axes.text(-4, 2, f"{label}", color=colour, ha="right", va="top", size=16, weight="bold")
        lines = textwrap.fill(sentence, 34)
        axes.text(31.5, 67, lines, ha="center", va="top", fontsize=9)
    plt.show()


@styled
def show_confusion(
    asked: Sequence[str], seen: Sequence[str], names: Sequence[str], title: str
) -> None:
    """Draw what was seen where something was asked for, each row in percent.

    asked, seen: one value a picture. names: the values, in the order of rows and columns; what is
    seen beyond them stands in a last column.
    """
    columns = [*names, "other"]
    counts = np.zeros((len(names), len(columns)))
    for one, other in zip(asked, seen, strict=True):
        counts[names.index(one), columns.index(other if other in names else "other")] += 1
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    _, axes = plt.subplots(figsize=(0.62 * len(columns) + 1.6, 0.46 * len(names) + 1.4))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.5:
            axes.text(
                j,
                i,
                f"{share:.0f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share > 60 else INK,
            )
    axes.set(title=title, xlabel="seen", ylabel="asked for")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.grid(False)
    plt.show()
