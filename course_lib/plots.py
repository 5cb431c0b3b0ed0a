"""Static figures of all lessons: each `show_…` draws one figure and ends with `plt.show()`.

Importing this changes nothing. Each figure is drawn inside `style()`, so your own matplotlib
settings stay as they are; use `with plots.style(): …` for a figure of your own in the same look.
Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

import copy
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from course_lib.errors import CourseError
from course_lib.pixels import image_grid, to_uint8

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY = "#56B4E9", "#CC79A7", "#7A7A7A"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, GREY)
REAL, FAKE = BLUE, VERMILLION  # data · what the generator makes
GENERATOR, DISCRIMINATOR = VERMILLION, GREEN
BELIEF = ("#EAAE80", "#FFFFFF", "#80B8D8")  # D's: from "forged" to "real"
INK, NET = "#333333", "#5B3A8C"  # words and arrows · what G makes of a net of noise
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}  # where a legend hides nothing

STYLE = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "grid.color": "#E5E5E5",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def style():
    """A context in which matplotlib draws as the course does: `with plots.style(): …`."""
    return plt.rc_context(STYLE)


def styled(draw: Callable) -> Callable:
    """Decorator: run a plotting function inside `style()`."""

    @wraps(draw)
    def drawn(*args, **kwargs):
        with style():
            return draw(*args, **kwargs)

    return drawn


# Pictures


@styled
def show_images(
    images,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    scale: float = 1.0,
    title: str | None = None,
) -> None:
    """Show images in rows of `columns`, each pixel a sharp square.

    images: whatever `to_uint8` takes. titles: one above each image. title: one above all.
    scale: at 1 an image is drawn about 120 screen pixels wide.
    """
    images = to_uint8(images)
    if titles is not None and len(titles) != len(images):
        raise CourseError(f"{len(titles)} titles for {len(images)} images")
    zoom = max(1, round(120 * scale / images.shape[2]))
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    gap = 2 * zoom
    headline = 28 if titles is not None else 0  # pixels above each row for its titles
    if headline:
        white = np.full((len(images), headline, *images.shape[2:]), 255, np.uint8)
        images = np.concatenate([white, images], axis=1)
    grid = image_grid(images, columns, gap)

    height, width = grid.shape[:2]
    top = 30 if title else 0
    figure = plt.figure(figsize=(width / 100, (height + top) / 100), layout="none")
    axes = figure.add_axes((0, 0, 1, height / (height + top)))
    axes.imshow(grid, interpolation="nearest")
    axes.axis("off")
    columns = max(1, min(columns, len(images)))
    for i, text in enumerate(titles or []):
        x = (i % columns) * (images.shape[2] + gap) + images.shape[2] / 2
        y = (i // columns) * (images.shape[1] + gap) + headline - 6
        axes.text(x, y, text, ha="center", va="bottom", fontsize=10)
    if title:
        figure.suptitle(title, y=1, va="top", fontsize=12)
    plt.show()


@styled
def show_scores(
    pictures: Mapping[str, object],
    scores: Mapping[str, Mapping[str, float]],
    title: str | None = None,
    columns: int = 5,
) -> None:
    """A few pictures of each kind, and beside them its numbers, the darker the worse.

    pictures: name → images, whatever `to_uint8` takes. scores: name → number → value, such as
        {"real": {"frechet/pixels": 1.0, "recall": 0.8}}. Names with a "/" are distances in floors,
        shaded from 1 to 100; the others are shares, shaded from the first row's value to 0: the
        first row should be real pictures.
    """
    names = list(scores[next(iter(pictures))])
    left, step = 1.5 + columns, 1.6  # where the numbers begin, in pictures' widths
    top = 0.75 + (0.5 if title else 0)
    sides = np.array([left + step * len(names), top + len(pictures)])
    _, axes = plt.subplots(figsize=0.66 * sides, layout="none")
    axes.set_position((0, 0, 1, 1))
    axes.set(xlim=(0, left + step * len(names)), ylim=(len(pictures), -top))
    axes.axis("off")
    for i, name in enumerate(names):
        words = name.replace("frechet/", "Fréchet\n").replace("kernel/", "kernel\n")
        axes.text(left + step * (i + 0.5), -0.1, words, ha="center", va="bottom", fontsize=9)
    first = scores[next(iter(pictures))]
    for row, (kind, images) in enumerate(pictures.items()):
        axes.text(1.4, row + 0.5, kind, ha="right", va="center")
        for i, image in enumerate(to_uint8(images)[:columns]):
            where = (1.5 + i + 0.03, 2.5 + i - 0.03, row + 0.97, row + 0.03)
            axes.imshow(image, extent=where, interpolation="nearest", aspect="auto")
        for i, name in enumerate(names):
            value = scores[kind][name]
            if "/" in name:
                bad, form = np.log10(max(value, 1)) / 2, "{:,.0f}" if value >= 9.95 else "{:.1f}"
            else:
                bad, form = 1 - value / (first[name] or 1), "{:.2f}"
            corner = (left + step * i + 0.05, row + 0.05)
            shade = {"color": VERMILLION, "alpha": 0.75 * float(np.clip(bad, 0, 1)), "lw": 0}
            axes.add_patch(plt.Rectangle(corner, step - 0.1, 0.9, **shade))
            axes.text(corner[0] + step / 2, row + 0.5, form.format(value), ha="center", va="center")
    if title:
        axes.text(0.15, 0.1 - top, title, va="top", fontsize=12)
    plt.show()


@styled
def show_maps(
    maps: Sequence,
    titles: Sequence[str] | None = None,
    title: str | None = None,
    same_scale: bool = False,
) -> None:
    """Show feature maps side by side; small ones with their numbers.

    maps: tensors or arrays of shape (H, W), leading ones allowed: (1, 1, H, W) is fine.
    same_scale: a colour means the same number in all of them; else each has a scale of its own.
    """
    figure, all_axes = plt.subplots(1, len(maps), figsize=(3 * len(maps), 3.1), squeeze=False)
    maps = [torch.as_tensor(one).detach().cpu().float() for one in maps]
    maps = [one.reshape(one.shape[-2:]).numpy() for one in maps]
    for i, (values, axes) in enumerate(zip(maps, all_axes[0], strict=True)):
        scaled = maps if same_scale else [values]
        low = min(0.0, *(one.min() for one in scaled))
        high = max(low + 1e-9, *(one.max() for one in scaled))
        picture = axes.imshow(values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
        axes.set(xticks=[], yticks=[], title=titles[i] if titles else None)
        axes.grid(False)
        if max(values.shape) <= 10:
            for (row, column), value in np.ndenumerate(values):
                text = f"{value:.2f}".removesuffix(".00")
                colour = "white" if value < (low + high) / 2 else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
        else:
            figure.colorbar(picture, ax=axes, shrink=0.8)
    if title:
        figure.suptitle(title)
    plt.show()


# Curves


@styled
def show_losses(
    history: Mapping[str, Sequence[float]],
    title: str = "Losses",
    smooth: int = 1,
    every: int = 1,
) -> None:
    """Draw the losses of a training, one curve a name.

    history: name → values, one per `every` steps, such as {"loss_D": […], "loss_G": […]}; of a
        longer history only the names that begin with "loss" are drawn.
    smooth: draw the mean of so many steps over the pale true values.
    """
    losses = {name: values for name, values in history.items() if name.startswith("loss")}
    _, axes = plt.subplots(figsize=(8, 3.2))
    for name, values in (losses or history).items():
        values = np.asarray(values, dtype=float)
        colour = {"loss_D": DISCRIMINATOR, "loss_G": GENERATOR}.get(name)
        if smooth > 1 and len(values) > smooth:
            steps = every * np.arange(len(values))
            (line,) = axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
            mean = np.convolve(values, np.ones(smooth) / smooth, mode="valid")
            axes.plot(steps[smooth - 1 :], mean, color=line.get_color(), label=name)
        else:
            axes.plot(every * np.arange(len(values)), values, color=colour, label=name)
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend()
    plt.show()


@styled
def show_lines(
    series: Mapping[str, Sequence[float]],
    x: Sequence,
    title: str,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a line with markers for each name in `series`; `x` may be numbers or words.

    limits: of the vertical axis. log: make that axis logarithmic. "theory" is drawn dashed.
    """
    _, axes = plt.subplots(figsize=(7, 3.2))
    for (name, values), marker in zip(series.items(), MARKERS, strict=False):
        look = {"color": GREY, "linestyle": "--"} if name == "theory" else {"marker": marker}
        axes.plot(x, values, label=name, **look)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if all(isinstance(value, int) for value in x):
        axes.set_xticks(x)
    if log:
        axes.set_yscale("log")
    axes.set_ylim(limits)
    axes.legend(**BESIDE)
    plt.show()


@styled
def show_runs(
    series: Mapping[str, Sequence[Sequence[float]]],
    labels: Sequence[str],
    title: str,
    ylabel: str,
    log: bool = False,
) -> None:
    """Draw one dot a run, a bar at their median: what a claim looks like over several seeds.

    series: name → for each label the values of its runs. log: make the vertical axis logarithmic;
    where there are zeros its lower edge stands for 0, below a break.
    """
    _, axes = plt.subplots(figsize=(8, 3.2))
    everything = np.asarray([value for rows in series.values() for row in rows for value in row])
    floor = everything[everything > 0].min(initial=1.0) / 10 if log else None
    for i, (name, rows) in enumerate(series.items()):
        for group, row in enumerate(rows):
            values = np.maximum(row, floor) if log else np.asarray(row)
            at = group + (i - (len(series) - 1) / 2) * 0.8 / len(series)
            spread = at + np.linspace(-0.08, 0.08, len(values))
            look = {"color": PALETTE[i], "label": name if group == 0 else None}
            axes.plot(spread, values, "o", alpha=0.75, clip_on=False, **look)
            axes.hlines(np.median(values), at - 0.14, at + 0.14, color=PALETTE[i])
    if log:
        axes.set_yscale("log")
        if (everything == 0).any():
            axes.set_ylim(bottom=floor)
            at = {"transform": axes.transAxes, "clip_on": False, "zorder": 5}
            axes.text(-0.015, 0, "0", ha="right", va="center", transform=axes.transAxes)
            axes.add_patch(plt.Rectangle((-0.01, 0.06), 0.02, 0.04, color="white", **at))
            for y in (0.06, 0.1):  # the break: two slanted strokes with nothing between
                axes.scatter(0, y, s=90, c="#555555", marker=[(-1, -0.5), (1, 0.5)], lw=1.2, **at)
    axes.set(title=title, ylabel=ylabel, xlim=(-0.5, len(labels) - 0.5))
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(axis="x", visible=False)
    axes.legend(**BESIDE)
    plt.show()


@styled
def show_bars(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    title: str,
    ylabel: str,
    form: str = "{:.0f}",
    spread: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Draw groups of bars: one group a label, in it one bar for each name in `series`.

    form: how a bar's number is written above it. spread: name → half length of each bar's whisker.
    """
    _, axes = plt.subplots(figsize=(8, 3.4))
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        at = np.arange(len(labels)) + (i - (len(series) - 1) / 2) * width
        whiskers = spread[name] if spread else None
        bars = axes.bar(at, values, width * 0.92, label=name, yerr=whiskers, ecolor=INK)
        axes.bar_label(bars, [form.format(value) for value in values], fontsize=8, padding=2)
    axes.set(title=title, ylabel=ylabel)
    axes.set_xticks(range(len(labels)), labels, fontsize=10 if len(labels) < 9 else 8)
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.12)
    if len(series) > 1:
        axes.legend(**BESIDE)
    plt.show()


@styled
def show_histograms(
    samples: Mapping[str, Sequence[float]],
    title: str,
    xlabel: str,
    limits: tuple[float, float] | None = None,
    bins: int = 40,
) -> None:
    """Draw the histograms of several samples; "real" and "fake" have their own colours."""
    samples = {name: np.asarray(torch.as_tensor(values).cpu()) for name, values in samples.items()}
    limits = limits or (
        min(v.min() for v in samples.values()),
        max(v.max() for v in samples.values()),
    )
    _, axes = plt.subplots(figsize=(7, 2.8))
    for name, values in samples.items():
        colour = {"real": REAL, "fake": FAKE}.get(name)
        look = {"density": True, "alpha": 0.6, "color": colour, "label": name}
        axes.hist(values.ravel(), bins=bins, range=limits, **look)
    axes.set(title=title, xlabel=xlabel, yticks=[], xlim=limits)
    axes.set_ylabel("how often")
    axes.legend()
    plt.show()


# Networks


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


# The toy GAN of lesson 1


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


# Code


def show_source(thing) -> None:
    """Show the source of a function or class under the cell: what you read is what runs."""
    source = textwrap.dedent(inspect.getsource(thing)).rstrip()
    display(Markdown(f"```python\n{source}\n```"))
