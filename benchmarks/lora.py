"""A LoRA for another artist's style, trained in minutes: distances before, after and in between.

    python benchmarks/lora.py                       # trains, then prints the table
    python benchmarks/lora.py --export              # and writes data/weights/faces-lorelei-lora

The style is DiceBear's "Lorelei", printed on coloured paper (`stable_diffusion.printed`). First the
decoder learns to draw it, then the U-Net to paint it; what the decoder alone can give back stands
in the table's last rows. Distances are the ruler's, in floors, of `--number` pictures that were
painted without words, beside as many printed drawings that were not learnt from. One floor is what
other such drawings score.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from course_lib import faces, metrics, pixels, pretrained
from course_lib import latent_diffusion as ld
from course_lib import stable_diffusion as sd
from course_lib.stable_diffusion import lora

DRAWN, UNSEEN, RULED = 3, 4, 5  # seeds of the drawings: learnt from, held out, and for the floor
DECODED, IMAGES = 2_400, 7_200  # looks at drawings: of the decoder, of the U-Net
WEIGHTS = (0, 0.25, 0.5, 0.75, 1)
DISTANCES = ("frechet/convolution", "frechet/pixels")


def drawings(number: int, seed: int) -> faces.Faces:
    return sd.printed(faces.render(number, seed=seed, style=lora.STYLE))


def train(options: argparse.Namespace) -> tuple[ld.Painter, dict]:
    """The painter with its LoRA, and what it took."""
    learnt_from = drawings(options.drawings, DRAWN)  # drawn before the clock starts
    painter, recipe = ld.Painter(), replace(lora.LoraRecipe(), **options.recipe)
    start, used = time.perf_counter(), time.process_time()
    drawing = lora.build_decoder_lora(learnt_from, painter).fit(
        options.decoded, progress=False, pictures_every=10**9
    )
    print(f"decoder: {time.perf_counter() - start:.0f} s", flush=True)
    plan = lora.build_lora(learnt_from, painter, recipe)
    history = plan.fit(options.images, progress=False)
    took = (
        plan.took(history)
        | {
            "drawings": options.drawings,
            "decoded": drawing.images,
            "minutes": round((time.perf_counter() - start) / 60, 1),  # both
            "processor_minutes": round((time.process_time() - used) / 60, 1),
            "threads": torch.get_num_threads(),
            "loss": round(statistics.mean(history.losses["loss"][-100:]), 3),
            "command": "python benchmarks/lora.py --export",
        }
    )
    print(took, flush=True)
    return painter, took


def table(painter: ld.Painter, number: int) -> dict[str, list]:
    """Distances at each weight of the LoRA, beside what the autoencoder alone makes of drawings."""
    unseen = drawings(number, UNSEEN)
    ruler = metrics.Ruler(drawings(metrics.FLOOR_SETS * number, RULED), unseen)
    kept: dict[str, list] = {"weights": list(WEIGHTS), **{name: [] for name in DISTANCES}}
    print("| pictures | Fréchet, convolution | Fréchet, pixels | precision | recall |")
    print("|---" * 5 + "|")

    def row(name: str, images: Tensor) -> dict[str, float]:
        values = ruler.values(images.clamp(-1, 1))
        cells = [f"{values[one]:.1f}" for one in DISTANCES]
        cells += [f"{values[one]:.2f}" for one in ("precision", "recall")]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        return values

    for weight in WEIGHTS:
        lora.weigh(painter, weight)
        values = row(f"LoRA at {weight}", painter([""] * number, seed=1, guidance=1.0))
        for name in DISTANCES:
            kept[name].append(round(values[name], 2))
    row("drawings that the decoder gave back", ld.give_back(painter.autoencoder, unseen.tensor()))
    row("the same, by lesson 5's", ld.give_back(ld.load_autoencoder(), unseen.tensor()))
    return kept


def picture(painter: ld.Painter, path: Path) -> None:
    """A row of eight for each weight, of the same noise; and one told "red hair"."""
    rows = []
    for weight in WEIGHTS:
        lora.weigh(painter, weight)
        rows.append(painter([""] * 8, seed=5, guidance=1.0))
    rows.append(painter(["red hair", "long blue hair", "glasses", "a beard"] * 2, seed=5))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.image_grid(torch.cat(rows))).save(path, optimize=True)


def export(painter: ld.Painter, took: dict) -> None:
    def write(folder: Path) -> None:
        lora.save_lora(painter, folder, torch.float16)

    pretrained.save_folder(lora.WEIGHTS, write, training=took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="looks of the U-Net")
    parser.add_argument("--decoded", type=int, default=DECODED, help="looks of the decoder")
    parser.add_argument("--drawings", type=int, default=192, help="of the style, to learn from")
    parser.add_argument("--number", type=int, default=200, help="of pictures measured")
    parser.add_argument("--picture", type=Path, help="where to write a grid")
    parser.add_argument("--export", action="store_true", help="into the course's own weights")
    parser.add_argument("--rate", type=float, dest="lora_rate")
    parser.add_argument("--rank", type=int)
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in ("lora_rate", "rank")}
    options.recipe = {name: value for name, value in given.items() if value is not None}
    painter, took = train(options)
    if options.picture:
        picture(painter, options.picture)
    took["distances"] = table(painter, options.number)
    if options.export:
        export(painter, took)


if __name__ == "__main__":
    main()
