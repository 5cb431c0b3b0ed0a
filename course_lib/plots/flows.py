"""Lesson 5's figures in the plane: points on their way from noise to data."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch

from course_lib.plots.figures import FAKE, GREY, INK, NET, REAL, styled


@styled
def show_way(
    places: Sequence[torch.Tensor],
    moments: Sequence[float | str],
    *,
    real: torch.Tensor | None = None,
    arrows: Sequence[tuple[torch.Tensor, torch.Tensor]] | None = None,
    reach: float = 2.4,
    of: str = "points",
) -> None:
    """Draw points (N, 2) at some moments of their way, side by side.

    moments: a time for each, or words. real: the data, in the background. arrows: at each moment,
    places (M, 2) and where the network sends what comes there (M, 2), drawn a seventh as long. of:
    "data" if the points are the data's own, on their way into noise.
    """
    figure, all_axes = plt.subplots(
        1, len(places), figsize=(2.35 * len(places), 2.9), squeeze=False
    )
    for i, (axes, points, moment) in enumerate(zip(all_axes[0], places, moments, strict=True)):
        if real is not None:
            axes.scatter(*real.T, s=7, color=REAL, alpha=0.5, lw=0, label="data")
        if arrows is not None:
            where = {"angles": "xy", "scale_units": "xy", "scale": 7, "width": 0.006}
            axes.quiver(*arrows[i][0].T, *arrows[i][1].T, color=GREY, **where)
        look = {"color": REAL} if of == "data" else {"color": FAKE, "marker": "D"}
        axes.scatter(*points.T, s=9, ec="white", lw=0.2, label=of, **look)
        lim = (-reach, reach)
        title = moment if isinstance(moment, str) else f"t = {moment:.2f}"
        axes.set(xlim=lim, ylim=lim, xticks=[], yticks=[], aspect="equal", title=title)
        axes.spines[["top", "right"]].set_visible(True)
        axes.grid(False)
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    plt.show()


@styled
def show_roads(
    places: Sequence[torch.Tensor], real: torch.Tensor, title: str = "", reach: float = 2.4
) -> None:
    """Draw the whole ways of points: places (N, 2) at each moment, the noise first."""
    _, axes = plt.subplots(figsize=(4.4, 4.4))
    ways = torch.stack(list(places))  # (moments, N, 2)
    axes.plot(*ways.permute(2, 0, 1), color=NET, lw=0.7, alpha=0.6)
    axes.scatter(*real.T, s=8, color=REAL, alpha=0.5, lw=0, label="data")
    axes.scatter(*ways[0].T, s=10, color=INK, lw=0, label="noise")
    axes.scatter(*ways[-1].T, s=12, color=FAKE, marker="D", ec="white", lw=0.3, label="points")
    lim = (-reach, reach)
    axes.set(xlim=lim, ylim=lim, xticks=[], yticks=[], aspect="equal", title=title)
    axes.grid(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()
