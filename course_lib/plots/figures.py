"""The look of all figures, and those that several lessons use."""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image as Shown
from IPython.display import Markdown, display
from matplotlib.ticker import LogLocator
from PIL import Image

from course_lib import settings
from course_lib.errors import CourseError
from course_lib.pixels import image_grid, to_uint8

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY = "#56B4E9", "#CC79A7", "#7A7A7A"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, GREY)
REAL, FAKE = BLUE, VERMILLION  # data · what the generator makes
GENERATOR, DISCRIMINATOR = VERMILLION, GREEN
BELIEF = ("#EAAE80", "#FFFFFF", "#80B8D8")  # D's: from "forged" to "real"
INK, NET = "#333333", "#5B3A8C"  # words and arrows · what G makes of a net of noise
SMALL = 600  # screen pixels
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
    lines = max((text.count("\n") + 1 for text in titles or []), default=0)
    headline = 11 + 17 * lines if lines else 0  # pixels above each row for its titles
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


def show_stored(name: str) -> None:
    """A figure that took hours: one of `benchmarks/` drew it, and it lies in `data/figures`.

    It comes with the package, so a lesson shows it wherever it runs, too. Small ones are enlarged.
    CourseError for an unknown name.
    """
    folder = settings.data_dir() / "figures"
    path = folder / f"{name}.png"
    if not path.is_file():
        there = ", ".join(sorted(known.stem for known in folder.glob("*.png")))
        raise CourseError(f"there is no stored figure {name!r}; there are {there or 'none'}")
    with Image.open(path) as picture:
        width = picture.width * (2 if picture.width < SMALL else 1)
    display(Shown(path.read_bytes(), width=width))


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
        else:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
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
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draw the histograms of several samples; "real" and "fake" have their own colours.

    marks: values to be marked by a dashed line, by name.
    """
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
    for name, value in (marks or {}).items():
        axes.axvline(value, color=INK, linestyle="--", linewidth=1.2, label=name)
    axes.set(title=title, xlabel=xlabel, yticks=[], xlim=limits)
    axes.set_ylabel("how often")
    axes.legend()
    plt.show()


# Code


def show_source(thing) -> None:
    """Show the source of a function or class under the cell: what you read is what runs."""
    source = textwrap.dedent(inspect.getsource(thing)).rstrip()
    display(Markdown(f"```python\n{source}\n```"))
