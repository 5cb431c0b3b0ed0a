"""Chinese prompts as SkyPaint got them: a painter that knows only English, and a new text encoder.

    python benchmarks/skypaint.py --run runs/skypaint
    python benchmarks/skypaint.py --run runs/skypaint --export   # seed 0's, for lesson 5c

For each seed: a text encoder trained on English captions alone; a painter told by it, in English
alone; then a bilingual text encoder, distilled from the first with parallel sentences and nothing
else, in the frozen painter. Beside it, as many minutes of both in both languages from the start.
What is done is not done again. Accuracy on fresh captions of held-out faces, by the judge;
`chinese.png` of each seed has faces told in English, in Chinese before, and in Chinese after.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from course_lib import faces, pixels, pretrained, text, training
from course_lib import latent_diffusion as ld
from course_lib.files import atomic

CHOSEN = 400  # captions of each language
ENGLISH, BOTH = ("en",), ("en", "zh")
PROMPTS = ("blue hair, cat ears", "蓝头发，猫耳")  # painted once in English, twice in Chinese
COLUMNS = ("hair", "eyes", "mean", "everything")
ROWS = ("English only", "then Chinese, distilled", "both from the start")


def fit(plan: training.Training, minutes: float, folder: Path) -> training.History:
    return plan.fit(
        10**9,
        max_minutes=minutes,
        clock=time.process_time,
        folder=folder,
        pictures=None,
        watch=None,
        progress=False,
    )


class Learnt(NamedTuple):
    """A text encoder and the U-Net that it tells, and how they came about."""

    encoder: text.TextEncoder
    unet: torch.nn.Module
    took: list[dict]  # of the encoder's training, and of the U-Net's

    @property
    def minutes(self) -> float:
        return sum(one["minutes"] for one in self.took)


def learn(name: str, languages: Sequence[str], seed: int, options: argparse.Namespace) -> Learnt:
    """Both trainings in some languages, or what `--run` has of them."""
    known, out = faces.find(options.data), options.run / str(seed)
    words = text.build(known, languages=languages, seed=seed)
    took = [words.took(fit(words, options.minutes_text, out / f"{name}-text"))]
    encoder = words.result().encoder.requires_grad_(False)
    plan = ld.build_painter(
        known, seed=seed, precision=options.precision, autoencoder=ld.load_autoencoder(),
        encoder=encoder, languages=languages, channels=tuple(options.channels),
    )  # fmt: skip
    took.append(plan.took(fit(plan, options.minutes, out / f"{name}-painter")))
    return Learnt(encoder, plan.result(), took)


def one_seed(seed: int, options: argparse.Namespace) -> dict[str, dict]:
    """Accuracy by row and language, and what each part took."""
    known, out = faces.find(options.data), options.run / str(seed)
    autoencoder = ld.load_autoencoder()
    found, minutes = {}, {}

    def measured(unet: torch.nn.Module, encoder: text.TextEncoder) -> dict[str, dict]:
        painter = ld.Painter(unet, autoencoder, encoder)
        return {
            language: text.in_brief(text.follow(painter, CHOSEN, seed=1, languages=[language]))
            for language in BOTH
        }

    english = learn("english", ENGLISH, seed, options)
    encoder, unet, minutes["english"] = english.encoder, english.unet, english.minutes
    found[ROWS[0]] = measured(unet, encoder)
    plan = text.distil(encoder, known.attributes, seed=seed)
    history = fit(plan, options.minutes_distilling, out / "distilled")
    minutes["distilling"] = history.seconds / 60
    found[ROWS[1]] = measured(unet, plan.result())
    before, after = (ld.Painter(unet, autoencoder, one) for one in (encoder, plan.result()))
    rows = [before([PROMPTS[0]] * 8, 1), before([PROMPTS[1]] * 8, 1), after([PROMPTS[1]] * 8, 1)]
    Image.fromarray(pixels.image_grid(torch.cat(rows), 8)).save(out / "chinese.png")
    both = learn("both", BOTH, seed, options)
    found[ROWS[2]], minutes["both"] = measured(both.unet, both.encoder), both.minutes
    return {"accuracy": found, "minutes": minutes}


def export(options: argparse.Namespace) -> None:
    """Seed 0's English text encoder and painter among the course's weights."""
    learnt = learn("english", ENGLISH, 0, options)
    about = {"data": options.data, "command": "python " + " ".join(sys.argv)}
    for name, network, config, took in (
        ("text-english", learnt.encoder, {"words": learnt.encoder.words}, learnt.took[0]),
        ("faces-english", learnt.unet, {"channels": list(options.channels)}, learnt.took[1]),
    ):
        print(pretrained.save(name, network, config=config, training=about | took))


def table(runs: list[dict]) -> None:
    """Medians over the seeds, and from which to which."""
    print("| the painter | prompts | " + " | ".join(COLUMNS) + " |")
    print("|---" * (2 + len(COLUMNS)) + "|")
    for row in ROWS:
        for language in BOTH:
            cells = []
            for name in COLUMNS:
                values = [run["accuracy"][row][language][name] for run in runs]
                middle, low, high = statistics.median(values), min(values), max(values)
                cells.append(f"{middle:.0%} ({low:.0%}–{high:.0%})")
            print(f"| {row} | {language} | " + " | ".join(cells) + " |")
    for name in runs[0]["minutes"]:
        print(f"{name}: {statistics.median(run['minutes'][name] for run in runs):.1f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/skypaint"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8.0, help="of a painter, one processor's")
    parser.add_argument("--minutes-text", type=float, default=4.0)
    parser.add_argument("--minutes-distilling", type=float, default=2.0)
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 128, 128])
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--export", action="store_true", help="keep seed 0's English painter")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.export:
        export(options)
        return
    runs = []
    for seed in range(options.seeds):
        path = options.run / str(seed) / "scores.json"
        if not path.exists():
            found = one_seed(seed, options)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as temporary:
                temporary.write_text(json.dumps(found, indent=1))
        runs.append(json.loads(path.read_text()))
    table(runs)


if __name__ == "__main__":
    main()
