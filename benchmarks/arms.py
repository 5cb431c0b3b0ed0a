"""Trainings that differ in one thing, told of together: a table, and a figure with a dot a seed.

Each training, an *arm* with a *seed*, leaves its scores in `scores.json` of a folder of its own.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from course_lib import pixels, plots

DISTANCES = ("convolution", "pixels")
COLUMNS = ("hair", "eyes", "mean", "everything", *DISTANCES)


def read(run: Path) -> list[dict]:
    """The scores of all that is finished; SystemExit where nothing is."""
    rows = [json.loads(path.read_text()) for path in sorted(run.glob("*/scores.json"))]
    if not rows:
        raise SystemExit(f"nothing is finished in {run}: run `train` first")
    return rows


def print_table(rows: Sequence[dict], arms: Sequence[str]) -> None:
    """Medians, and from which to which, over the seeds; empty where nothing was measured."""
    print("| arm | seeds | images | " + " | ".join(COLUMNS) + " |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    for arm in _there(rows, arms):
        mine = [row for row in rows if row["arm"] == arm]
        cells = [_cell([row[name] for row in mine if name in row], name) for name in COLUMNS]
        images = statistics.median(row["images"] for row in mine)
        print(f"| {arm} | {len(mine)} | {images:,.0f} | " + " | ".join(cells) + " |")


def _cell(values: list[float], name: str) -> str:
    """Shares in percent, distances in floors."""
    if not values:
        return ""
    form = "{:.1f}" if name in DISTANCES else "{:.0%}"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


@plots.styled
def draw(rows: Sequence[dict], arms: Sequence[str], path: Path) -> None:
    """A dot a seed for each arm: hair, eyes, and the mean of what was asked for."""
    arms = _there(rows, arms)
    figure, panels = plt.subplots(1, 3, figsize=(10, 0.6 + 0.4 * len(arms)), sharey=True)
    for axes, name in zip(panels, ("hair", "eyes", "mean"), strict=True):
        for place, arm in enumerate(arms[::-1]):
            values = [100 * row[name] for row in rows if row["arm"] == arm]
            colour = plots.PALETTE[place % len(plots.PALETTE)]
            axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.8)
        axes.set(title=name, xlim=(0, 100), xlabel="percent as asked for")
        axes.set_yticks(range(len(arms)), arms[::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def faces_of(picture: Path, columns: int = 8, gap: int = 2) -> np.ndarray:
    """The faces of a `pixels.image_grid` that was saved: uint8 (N, S, S, 3), row by row."""
    grid = np.asarray(Image.open(picture).convert("RGB"))
    side = (grid.shape[1] + gap) // columns  # of a face and the gap after it
    wide = np.pad(grid, ((0, gap), (0, gap), (0, 0)))
    return pixels.cut_grid(wide, side)[:, :-gap, :-gap]


def _there(rows: Sequence[dict], arms: Sequence[str]) -> list[str]:
    return [arm for arm in arms if any(row["arm"] == arm for row in rows)]
