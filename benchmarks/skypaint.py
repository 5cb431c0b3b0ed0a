"""Chinese prompts as SkyPaint got them: a painter that knows only English, and a new text encoder.

    python benchmarks/skypaint.py --run runs/skypaint

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
import time
from pathlib import Path

import torch
from PIL import Image

from course_lib import faces, pixels, text, training
from course_lib import latent_diffusion as ld
from course_lib.files import atomic

CHOSEN = 400  # captions of each language
BOTH = ("en", "zh")
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


def one_seed(seed: int, options: argparse.Namespace) -> dict[str, dict]:
    """Accuracy by row and language, and what each part took."""
    known, out = faces.find(options.data), options.run / str(seed)
    autoencoder, precision = ld.load_autoencoder(), options.precision
    found, minutes = {}, {}

    def learnt(name: str, languages: tuple[str, ...]) -> tuple[text.TextEncoder, torch.nn.Module]:
        words = text.build(known, languages=languages, seed=seed)
        fit(words, options.minutes_text, out / f"{name}-text")
        encoder = words.result().encoder.requires_grad_(False)
        plan = ld.build_painter(
            known, seed=seed, precision=precision, autoencoder=autoencoder, encoder=encoder,
            languages=languages, channels=tuple(options.channels),
        )  # fmt: skip
        history = fit(plan, options.minutes, out / f"{name}-painter")
        minutes[name] = options.minutes_text + history.seconds / 60
        return encoder, plan.result()

    def measured(unet: torch.nn.Module, encoder: text.TextEncoder) -> dict[str, dict]:
        painter = ld.Painter(unet, autoencoder, encoder)
        return {
            language: text.in_brief(text.follow(painter, CHOSEN, seed=1, languages=[language]))
            for language in BOTH
        }

    encoder, unet = learnt("english", ("en",))
    found[ROWS[0]] = measured(unet, encoder)
    plan = text.distil(encoder, known.attributes, seed=seed)
    history = fit(plan, options.minutes_distilling, out / "distilled")
    minutes["distilling"] = history.seconds / 60
    found[ROWS[1]] = measured(unet, plan.result())
    before, after = (ld.Painter(unet, autoencoder, one) for one in (encoder, plan.result()))
    rows = [before([PROMPTS[0]] * 8, 1), before([PROMPTS[1]] * 8, 1), after([PROMPTS[1]] * 8, 1)]
    Image.fromarray(pixels.image_grid(torch.cat(rows), 8)).save(out / "chinese.png")
    encoder, unet = learnt("both", BOTH)
    found[ROWS[2]] = measured(unet, encoder)
    return {"accuracy": found, "minutes": minutes}


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
    options = parser.parse_args()
    torch.set_num_threads(1)
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
