"""Make the healthy and the sick trainings that lesson 3 draws, and print what they measured.

    python benchmarks/failures.py            # four cases, three seeds each, a minute a training
    python benchmarks/failures.py --table    # only print the table of what lies in data/

One thread. Pictures and curves are kept of two seeds; the table has the last tenth of every one's
training.
"""

import argparse
import json
from statistics import mean

import numpy as np
import torch
from PIL import Image

from course_lib import faces, failures, settings
from course_lib.pixels import image_grid

SEEDS, POINTS = 3, 100
FOLDER = settings.data_dir()


def make() -> None:
    data, cases, tiles = faces.load("train"), {}, []
    for name, case in failures.CASES.items():
        ends, curves = [], []
        for seed in range(SEEDS):
            record = failures.train(case, data, seed=seed)
            tenth = len(record.curves["loss_D"]) // 10
            ends.append({key: float(f"{mean(v[-tenth:]):.4g}") for key, v in record.curves.items()})
            print(name, seed, ends[-1], flush=True)
            if seed < failures.KEPT:
                curves.append({key: short(values) for key, values in record.curves.items()})
                tiles.append(record.pictures)
        cases[name] = {"words": case.words, "curves": curves, "ends": ends}
    pictures = np.concatenate([tile.reshape(-1, *tile.shape[-3:]) for tile in tiles])
    strip = Image.fromarray(image_grid(pictures, columns=failures.FACES, gap=0))
    strip.save(FOLDER / "failures.webp", lossless=True, method=6)
    about = {"images": failures.IMAGES, "batch_size": failures.BATCH, "cases": cases}
    text = json.dumps(about, indent=None, ensure_ascii=False) + "\n"
    (FOLDER / "failures.json").write_text(text, encoding="utf-8")


def short(values: list[float]) -> list[float]:
    """A curve as means of neighbouring steps."""
    return [float(f"{part.mean():.4g}") for part in np.array_split(values, POINTS)]


def table() -> None:
    names = ("D(x)", "D(G(z))", "loss_D", "loss_G", "gradient", "variety")
    print("| case | seed |", " | ".join(names), "|\n|---|---|" + "---|" * len(names))
    for name, ends in failures.ends().items():
        for seed, end in enumerate(ends):
            print(f"| {name} | {seed} |", " | ".join(f"{end[key]:.3g}" for key in names), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print what is there, train nothing")
    torch.set_num_threads(1)
    if not parser.parse_args().table:
        make()
    table()
