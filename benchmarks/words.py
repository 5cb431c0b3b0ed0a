"""Must D see real pictures with words that do not fit? The article's claim, and other recipes.

    python benchmarks/words.py train --run runs/words                 # three seeds an arm
    python benchmarks/words.py table --run runs/words --figures benchmarks/figures

Every arm gets the same number of pictures, the same first weights, noise, captions and order; only
what its name says is different. `--arms`, `--seeds`, `--images`, `--width` choose others; what is
done is not done again, and an interrupted training goes on. Measured on 2,000 fresh captions of
held-out faces by the judge, both eyes counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from course_lib import conditional_gan as cgan
from course_lib import faces, judge, metrics, pixels, plots, text, training
from course_lib.files import atomic

OURS = cgan.PRESETS["words"].recipe
PLAIN = {"relative": False, "contrast": 0.0}  # the article's loss: cross-entropy of class 1 and 0
ARMS = {
    "D sees no words": PLAIN | {"mismatched": "none", "sees_words": False},
    "no misfits": PLAIN | {"mismatched": "none"},
    "misfits": PLAIN | {"mismatched": "batch"},
    "misfits, one fact wrong": PLAIN,
    "ours": {},
    "ours, no misfits": {"mismatched": "none", "contrast": 0.0},
    "ours, no contrast": {"contrast": 0.0},
    "ours, no variety": {"variety": 0.0},
}
CLAIM = ("D sees no words", "no misfits", "misfits", "misfits, one fact wrong", "ours")
# The encoder knows "frowning", but no "frown": the last prompt is white hair and nothing else.
PROMPTS = ("red eyes, blue hair", "green hair, glasses", "pink twintails", "a frown, white hair")
CHOSEN = 2000  # captions
DISTANCES = ("frechet/convolution", "frechet/pixels")


def train(options: argparse.Namespace) -> None:
    """Every arm with every seed, one after the other."""
    known = faces.load("train")
    for seed in range(options.seeds):
        for arm in options.arms:
            out = folder(options.run, arm, seed)
            if (out / "scores.json").exists():
                continue
            recipe = replace(OURS, average=0.998, **ARMS[arm])
            sizes = {"width": options.width, "precision": options.precision}
            plan = cgan.build(known, recipe, seed=seed, **sizes)
            print(f"{arm}, seed {seed}", flush=True)
            history = plan.fit(
                options.images,
                folder=out / "checkpoints",
                pictures=None,
                watch=None,
                progress=False,
            )
            measure(out, plan, history, arm, seed, options)


def measure(
    out: Path,
    plan: training.Training,
    history: training.History,
    arm: str,
    seed: int,
    options: argparse.Namespace,
) -> None:
    """What the painter does, as `scores.json` and a grid."""
    painter = cgan.Painter(plan.result())
    scores = cgan.follow(painter.generator, painter.encoder, CHOSEN, seed=1)
    ruler = metrics.Ruler(faces.load("train"), faces.load("held-out"))
    values = ruler.values(painter(text.held_out_captions(), seed=2))
    rows = [prompt for prompt in PROMPTS for _ in range(8)]
    Image.fromarray(pixels.image_grid(painter(rows, seed=3))).save(out / "faces.png")
    found = {
        "arm": arm,
        "seed": seed,
        "images": history.images,
        "minutes": round(history.seconds / 60, 1),
        "width": options.width,
        "hair": scores["hair_color"].accuracy,
        "eyes": scores["eye_color"].accuracy,
        "mean": judge.mean_accuracy(scores),
        "everything": scores["everything"].accuracy,
        **{name.split("/")[1]: values[name] for name in DISTANCES},
    }
    with atomic(out / "scores.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1))
    print(json.dumps(found), flush=True)


COLUMNS = ("hair", "eyes", "mean", "everything", "convolution", "pixels")


def table(options: argparse.Namespace) -> None:
    """Print medians and ranges over the seeds, and draw the figure."""
    rows = [json.loads(path.read_text()) for path in sorted(options.run.glob("*/scores.json"))]
    if not rows:
        raise SystemExit(f"nothing is finished in {options.run}: run `train` first")
    print("| arm | seeds | images | " + " | ".join(COLUMNS) + " |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    for arm in [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]:
        mine = [row for row in rows if row["arm"] == arm]
        cells = [_cell([row[name] for row in mine], name) for name in COLUMNS]
        print(f"| {arm} | {len(mine)} | {mine[0]['images']:,} | " + " | ".join(cells) + " |")
    if options.figures:
        draw(rows, options.figures / "words_claim.png")
        beside(options.run, options.figures / "words_faces.png")


def _cell(values: list[float], name: str) -> str:
    """Shares in percent, distances in floors: the median, and from which to which."""
    form = "{:.1f}" if name in ("convolution", "pixels") else "{:.0%}"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


@plots.styled
def draw(rows: list[dict], path: Path) -> None:
    """A point a seed for each arm of the claim."""
    arms = [arm for arm in CLAIM if any(row["arm"] == arm for row in rows)]
    figure, panels = plt.subplots(1, 3, figsize=(10, 2.6), sharey=True)
    for axes, name in zip(panels, ("hair", "eyes", "mean"), strict=True):
        for place, arm in enumerate(arms[::-1]):
            values = [100 * row[name] for row in rows if row["arm"] == arm]
            axes.plot(values, [place] * len(values), "o", color=plots.PALETTE[place], alpha=0.8)
        axes.set(title=name, xlim=(0, 100), xlabel="percent as asked for")
        axes.set_yticks(range(len(arms)), arms[::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def beside(run: Path, path: Path) -> None:
    """What the first seed's painters paint: a row an arm, of each prompt the first two."""
    rows = []
    for arm in CLAIM:
        if (picture := folder(run, arm, 0) / "faces.png").exists():
            grid = np.asarray(Image.open(picture).convert("RGB"))
            side = (grid.shape[1] + 2) // 8  # a face and the gap after it
            tiles = [(row, column) for row in range(len(PROMPTS)) for column in range(2)]
            rows += [grid[r * side :, c * side :][: side - 2, : side - 2] for r, c in tiles]
    if rows:
        Image.fromarray(pixels.image_grid(np.stack(rows))).save(path, optimize=True)


def folder(run: Path, arm: str, seed: int) -> Path:
    return run / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(CLAIM))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    {"train": train, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
