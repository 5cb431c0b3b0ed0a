"""Lesson 1's figures: moments of the toy GAN in the plane."""

from collections.abc import Sequence
from math import ceil

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from course_lib.plots.figures import BELIEF, FAKE, INK, NET, REAL, styled


@styled
def show_planes(
    scenes: Sequence,
    titles: Sequence[str] | None = None,
    *,
    heat: bool = True,
    net: bool = True,
    arrows: bool = True,
    reach: float = 1.5,
    columns: int = 3,
    every: int = 2,
) -> None:
    """Draw moments of the toy GAN side by side, each a `toy.Scene`, with one legend below.

    heat: D's belief as colours. net: G's net of noise. arrows: D's pull on every second forgery (or
    every third, …: `every`), a pull of 1 drawn 0.2 long, at most 0.4.
    """
    columns = min(columns, len(scenes))
    rows = ceil(len(scenes) / columns)
    side = min(9.6 / columns, 4)
    figure, all_axes = plt.subplots(
        rows, columns, figsize=(side * columns, (side + 0.25) * rows + 0.3), squeeze=False
    )
    for i, (axes, scene) in enumerate(zip(all_axes.flat, scenes, strict=False)):
        _draw_scene(axes, scene, heat, net, every if arrows else 0, reach)
        axes.set_title(titles[i] if titles else "")
    for axes in list(all_axes.flat)[len(scenes) :]:
        axes.axis("off")
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    for shown, handle, label in (
        (arrows, Line2D([], [], color=INK, marker=">", markersize=4), "D's pull"),
        (net, Line2D([], [], color=NET, lw=0.8), "G's net of noise"),
        (heat, Patch(color=BELIEF[0]), "D: forged"),
        (heat, Patch(color=BELIEF[-1]), "D: real"),
    ):
        if shown:
            handles, labels = [*handles, handle], [*labels, label]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    plt.show()


def _draw_scene(axes, scene, heat: bool, net: bool, every: int, reach: float) -> None:
    """One moment of the toy GAN; an arrow at every so-manyth forgery, at none if `every` is 0."""
    extent = (-reach, reach, -reach, reach)
    if heat:
        belief = LinearSegmentedColormap.from_list("belief", BELIEF, N=31)  # few: small PNGs
        look = {"cmap": belief, "vmin": 0, "vmax": 1, "interpolation": "bicubic"}
        axes.imshow(scene.belief.numpy(), extent=extent, **look)
    if net:
        axes.add_collection(LineCollection(scene.grid.numpy(), colors=NET + "88", lw=0.8))
    axes.scatter(*scene.real.T, s=8, color=REAL, lw=0, label="real")
    if every:
        fake, pull = scene.fake[::every], scene.pull[::every]
        strength = pull.norm(dim=1, keepdim=True) + 1e-9
        arrow = pull / strength * (0.2 * strength).clamp(max=0.4)
        long = arrow.norm(dim=1) > 0.01
        where = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004}
        axes.quiver(*fake[long].T, *arrow[long].T, color=INK, **where)
    axes.scatter(*scene.fake.T, s=11, color=FAKE, marker="D", ec="white", lw=0.3, label="forged")
    if outside := scene.outside(reach):
        words = f"{outside} of {len(scene.fake)} lie outside this square"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        at = {"transform": axes.transAxes, "va": "top", "fontsize": 9}
        axes.text(0.03, 0.97, words, color=FAKE, bbox=box, zorder=5, **at)
    axes.set(xlim=extent[:2], ylim=extent[:2], xticks=[], yticks=[], aspect="equal")
    axes.spines[["top", "right"]].set_visible(True)
