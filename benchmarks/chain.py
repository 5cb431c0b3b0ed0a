"""The whole chain from nothing: text encoder, autoencoder and painter in an hour of two cores.

    python benchmarks/chain.py --run runs/chain --minutes 60 --precision bf16

First the text encoder and the autoencoder learn side by side, a thread each; then the painter, on
all threads. Every ten minutes it paints the same prompts and counts how far it obeys; the log and
the grids lie in RUN, or in `--figures` as one picture. Given are the drawings, and the judge, which
looks and does not paint. An interrupted run goes on, with the time it has left.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from course_lib import faces, pixels, pretrained, text, training
from course_lib import latent_diffusion as ld
from course_lib.files import atomic

MARK = 10.0  # minutes between two looks
FIRST = 0.3  # share of the time for the text encoder and the autoencoder
CHOSEN = {"on the way": 300, "end": 2000}  # captions
PROMPTS = ("red eyes", "蓝色长发", "blonde twintails, blue eyes", "戴眼镜，绿色头发")


def side_by_side(options: argparse.Namespace) -> None:
    """Text encoder and autoencoder, a process and a thread each."""
    minutes = str(options.minutes * FIRST)
    common = ["--threads", "1", "--minutes", minutes, "--data", options.data]
    commands = {
        "text": ["text", "--preset", "text", "--precision", "no"],
        "autoencoder": [
            "latent_diffusion", "--preset", "small_autoencoder", "--precision", options.precision,
        ],
    }  # fmt: skip
    running = {}
    for name, words in commands.items():
        log = (options.run / f"{name}.log").open("a", encoding="utf-8")
        given = [*words, *common, "--out", str(options.run / name)]
        command = [sys.executable, "-u", "-m", "course_lib.cli", "train", *given]
        running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    for name, process in running.items():
        if process.wait():
            raise SystemExit(f"{name} failed: see {options.run / name}.log")


def paint(options: argparse.Namespace, start: float) -> None:
    """The painter, in what is left of the time."""
    autoencoder = pretrained.load("autoencoderkl", ld.AutoencoderKL, options.run / "autoencoder")
    encoder = pretrained.load("clip", text.Clip, options.run / "text").encoder
    encoder.requires_grad_(False)
    plan = ld.build_painter(
        faces.find(options.data), precision=options.precision, autoencoder=autoencoder,
        encoder=encoder,
    )  # fmt: skip
    marks = Marks(options, start, ld.Painter(plan.result(), autoencoder, encoder))
    left = options.minutes - (time.time() - start) / 60
    plan.fit(
        10**9, max_minutes=left, folder=options.run / "painter", pictures=None, watch=None,
        report=marks.look, progress=sys.stderr.isatty(),
    )  # fmt: skip
    marks.note("end")


class Marks:
    """What it paints every ten minutes of the whole run, noted in `log.jsonl`."""

    def __init__(self, options: argparse.Namespace, start: float, painter: ld.Painter):
        self.options, self.start, self.painter = options, start, painter
        self.next = MARK * (1 + (time.time() - start) / 60 // MARK)

    def look(self, history: training.History) -> None:
        """What `fit` reports to."""
        if (time.time() - self.start) / 60 >= self.next:
            self.note(f"{self.next:.0f} minutes", history.images)
            self.next += MARK

    def note(self, name: str, images: int | None = None) -> None:
        minutes = (time.time() - self.start) / 60
        number = CHOSEN.get(name, CHOSEN["on the way"])
        scores = text.in_brief(text.follow(self.painter, number, seed=1))
        grid = pixels.image_grid(self.painter([p for p in PROMPTS for _ in range(8)], seed=0), 16)
        Image.fromarray(grid).save(self.options.run / f"{minutes:04.0f}.png")
        line = {"at": name, "minutes": round(minutes, 1), "images": images, **scores}
        with (self.options.run / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def together(options: argparse.Namespace) -> None:
    """The grids under each other."""
    grids = [np.asarray(Image.open(path)) for path in sorted(options.run.glob("[0-9]*.png"))]
    gap = np.full((12, *grids[0].shape[1:]), 255, np.uint8)
    rows = [part for grid in grids for part in (grid, gap)]
    Image.fromarray(np.concatenate(rows[:-1])).save(options.figures / "chain.webp", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/chain"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--threads", type=int, default=2, help="of the painter")
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    clock = options.run / "start.json"
    if not clock.exists():
        with atomic(clock) as temporary:
            temporary.write_text(json.dumps(time.time()))
    start = json.loads(clock.read_text())
    faces.find(options.data)  # drawn once, for all three
    if not (options.run / "autoencoder" / "manifest.json").exists():
        side_by_side(options)
    paint(options, start)
    if options.figures:
        together(options)


if __name__ == "__main__":
    main()
