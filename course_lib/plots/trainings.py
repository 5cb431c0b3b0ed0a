"""Lesson 3's figure of trainings beside each other: what the numbers say, and what is painted."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from course_lib.pixels import image_grid
from course_lib.plots.figures import DISCRIMINATOR, FAKE, GENERATOR, GREY, PURPLE, REAL, styled

COIN = 2 * np.log(2)  # D's loss if it says ½ to every picture


@styled
def show_trainings(records: Mapping[str, object], steps: int, pictures: bool = True) -> None:
    """One row a training: losses, D's beliefs, G's gradient, variety, and pictures.

    records: name → a `failures.Record`, or anything with its `curves` and `pictures`. steps: how
    many the curves cover. pictures: a row of faces for each moment, the end below.
    """
    panels = ("losses", "D's beliefs", "gradient of G", "variety") + ("pictures",) * pictures
    shares = [1.0] * 4 + [2.0] * pictures
    _, all_axes = plt.subplots(
        len(records),
        len(panels),
        figsize=(9.6, (1.75 if pictures else 1.4) * len(records) + 0.3),
        squeeze=False,
        gridspec_kw={"width_ratios": shares},
    )
    for row, (axes_of_row, (name, record)) in enumerate(
        zip(all_axes, records.items(), strict=True)
    ):
        _draw_curves(axes_of_row, record.curves, steps)
        axes_of_row[0].set_ylabel(name, fontsize=10, fontweight="bold")
        if pictures:
            shown = record.pictures.repeat(4, axis=2).repeat(4, axis=3)  # (moments, faces, …)
            grid = image_grid(shown.reshape(-1, *shown.shape[2:]), columns=shown.shape[1], gap=6)
            axes_of_row[-1].imshow(grid, interpolation="nearest")
            axes_of_row[-1].axis("off")
        if not row:
            for axes, title in zip(axes_of_row, panels, strict=True):
                axes.set_title(title, fontsize=10)
    for axes in all_axes[-1, :4]:
        axes.set_xlabel("step", fontsize=9)
    plt.show()


def _draw_curves(axes_of_row, curves: Mapping[str, list[float]], steps: int) -> None:
    """The four panels of numbers of one training."""
    losses, beliefs, gradient, variety = axes_of_row[:4]
    at = np.linspace(0, steps, len(curves["loss_D"]))
    for axes, name, colour, label in (
        (losses, "loss_D", DISCRIMINATOR, "D"),
        (losses, "loss_G", GENERATOR, "G"),
        (beliefs, "D(x)", REAL, "D(x)"),
        (beliefs, "D(G(z))", FAKE, "D(G(z))"),
        (gradient, "gradient", GENERATOR, None),
        (variety, "variety", PURPLE, None),
    ):
        axes.plot(at, curves[name], color=colour, label=label, linewidth=1.4)
    losses.axhline(COIN, color=GREY, linestyle="--", linewidth=0.9)
    beliefs.axhline(0.5, color=GREY, linestyle="--", linewidth=0.9)
    variety.axhline(1, color=GREY, linestyle="--", linewidth=0.9)
    highest = max(2.5, *curves["loss_D"], *curves["loss_G"])
    losses.set_ylim(min(0, *curves["loss_G"]) - 0.05, 1.05 * highest)
    beliefs.set_ylim(-0.05, 1.05)
    gradient.set_yscale("log")
    gradient.set_ylim(1e-6, 300)
    variety.set_ylim(-0.05, 1.15)
    for axes in axes_of_row[:4]:
        axes.tick_params(labelsize=8)
        axes.set_xlim(0, steps)
    for axes in (losses, beliefs):
        axes.legend(fontsize=8, handlelength=1, borderpad=0, loc="best")
