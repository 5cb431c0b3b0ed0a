"""Must D see real pictures with words that do not fit? The article's claim, and other recipes.

    python benchmarks/words.py train --run runs/words                 # three seeds an arm
    python benchmarks/words.py table --run runs/words --figures data/figures

Every arm gets the same number of pictures, the same first weights, noise, captions and order; only
what its name says is different. `--arms`, `--seeds`, `--images`, `--width` choose others; what is
done is not done again, and an interrupted training goes on. Measured on 2,000 fresh captions of
held-out faces by the judge, both eyes counted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import arms
import numpy as np
import torch
from PIL import Image

from course_lib import conditional_gan as cgan
from course_lib import faces, judge, metrics, pixels, text, training
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


def table(options: argparse.Namespace) -> None:
    """Print medians and ranges over the seeds, and draw the figures."""
    rows = arms.read(options.run)
    arms.print_table(rows, list(ARMS))
    if options.figures:
        arms.draw(rows, CLAIM, options.figures / "words_claim.png")
        beside(options.run, options.figures / "words_faces.png")


def beside(run: Path, path: Path) -> None:
    """What the first seed's painters paint: a row an arm, of each prompt the first two."""
    pictures = [folder(run, arm, 0) / "faces.png" for arm in CLAIM]
    chosen = [8 * row + column for row in range(len(PROMPTS)) for column in range(2)]
    rows = [arms.faces_of(picture)[chosen] for picture in pictures if picture.exists()]
    if rows:
        grid = Image.fromarray(pixels.image_grid(np.concatenate(rows)))
        pixels.in_few_colours(grid).save(path, optimize=True)


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
