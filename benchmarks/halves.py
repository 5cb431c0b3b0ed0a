"""Two painters on disjoint halves of the faces, the same noise into both. A table and a picture.

    python benchmarks/halves.py train --run runs/halves     # every size, three seeds, both halves
    python benchmarks/halves.py table --run runs/halves     # agreement, memory, by size
    python benchmarks/halves.py picture --run runs/halves   # the same noises, size by size
    python benchmarks/halves.py export --run runs/halves    # keep seed 0's pairs

    python benchmarks/halves.py train --painter gan --sizes 64 3000    # as contrast; table, picture
    python benchmarks/halves.py train --run runs/strangers --strangers --sizes 3000

The seed decides who is in which half, the first weights and the noise of the training; both halves
of a pair begin with the same, unless they are `--strangers`. Every painter of every size looks at
the same number of pictures (`--looks`) and gets one thread. What is done is not done again; an
interrupted training goes on.
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
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import dcgan, faces, novelty, pixels, plots, pretrained, training
from course_lib import latent_diffusion as ld
from course_lib.files import atomic

NAMES = ("one", "other")
WIDTH = 16  # of the GANs
TITLE = 34  # pixels above each size's pictures
STRANGER = 1000  # added to the seed of the second painter


class Diffusion:
    """The painters that the lesson is about."""

    def __init__(self):
        self.autoencoder = ld.load_autoencoder()

    def build(self, half: faces.Faces, seed: int, precision: str) -> training.Training:
        return novelty.build(half, seed=seed, precision=precision, autoencoder=self.autoencoder)

    def empty(self) -> nn.Module:
        return novelty.new_unet()

    def noise(self, number: int, seed: int) -> Tensor:
        return novelty.noise_for(number, seed)

    def paint(self, network: nn.Module, noise: Tensor) -> Tensor:
        return novelty.paint(network, self.autoencoder, noise)


class Gan:
    """Lesson 3's GAN, of half its width, by the recipe with a calm end; never mirrored, either."""

    def build(self, half: faces.Faces, seed: int, precision: str) -> training.Training:
        batch_size = min(dcgan.CALM.batch_size, len(half))
        recipe = replace(dcgan.CALM, flip=False, batch_size=batch_size)
        return dcgan.build(half, recipe, width=WIDTH, seed=seed, precision=precision)

    def empty(self) -> nn.Module:
        return dcgan.Generator(width=WIDTH)

    def noise(self, number: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(number, dcgan.NOISE_SIZE, generator=generator)

    def paint(self, network: nn.Module, noise: Tensor) -> Tensor:
        return dcgan.paint(network, noise)


PAINTERS = {"diffusion": Diffusion, "gan": Gan}


def folder_of(options: argparse.Namespace, n: int, seed: int, half: int) -> Path:
    return options.run / options.painter / f"{n}-{seed}-{NAMES[half]}"


def train_half(options: argparse.Namespace, n: int, seed: int, half: int) -> None:
    """One painter, unless it is there; its weights and what they took stay in its folder."""
    folder = folder_of(options, n, seed, half)
    if (folder / "took.json").exists():
        return
    chance = seed + STRANGER * half if options.strangers else seed
    plan = options.kind.build(novelty.halves(n, seed)[half], chance, options.precision)
    history = plan.fit(options.looks, folder=folder, save_every=1000, pictures_every=10**9)
    if history.stopped:
        raise SystemExit(f"{folder.name}: {history.stopped}; run it again, it goes on")
    keep(folder, plan.result(), plan.took(history))


def keep(folder: Path, network: nn.Module, took: dict) -> None:
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    with atomic(folder / "painter.safetensors") as temporary:
        save_file(weights, temporary)
    with atomic(folder / "took.json") as temporary:
        temporary.write_text(json.dumps(took))
    print(f"{folder.name}: {took['images']:,} in {took['minutes']:.1f} minutes", flush=True)


def painter_of(options: argparse.Namespace, n: int, seed: int, half: int) -> nn.Module:
    network = options.kind.empty()
    network.load_state_dict(load_file(folder_of(options, n, seed, half) / "painter.safetensors"))
    return network.eval()


def paintings(options: argparse.Namespace, n: int, seed: int, noise: Tensor) -> list[Tensor]:
    """What both painters of a pair make of the same noise."""
    return [
        options.kind.paint(painter_of(options, n, seed, half), noise).clamp(-1, 1)
        for half in (0, 1)
    ]


def seeds_of(options: argparse.Namespace, n: int) -> list[int]:
    """The seeds of which both painters are finished."""
    return [
        seed
        for seed in options.seeds
        if all((folder_of(options, n, seed, half) / "took.json").exists() for half in (0, 1))
    ]


def measure(options: argparse.Namespace, n: int, seed: int) -> dict[str, float]:
    """What the table says of one pair."""
    painted = paintings(options, n, seed, options.kind.noise(options.pictures, 1000 + seed))
    return novelty.compare_halves(painted, novelty.halves(n, seed), faces.load("held-out"))


def table(options: argparse.Namespace) -> None:
    rows = {}
    for n in options.sizes:
        found = [measure(options, n, seed) for seed in seeds_of(options, n)]
        if found:
            rows[n] = found
    names = list(next(iter(rows.values()))[0])
    print("| images a half | pairs | " + " | ".join(names) + " |")
    print("|---" * (2 + len(names)) + "|")
    for n, found in rows.items():
        cells = []
        for name in names:
            values = [one[name] for one in found]
            middle, low, high = statistics.median(values), min(values), max(values)
            cells.append(f"{middle:.2f} ({low:.2f}–{high:.2f})")
        print(f"| {n:,} | {len(found)} | " + " | ".join(cells) + " |")


def picture(options: argparse.Namespace) -> None:
    """Seed 0, size by size: the two painters' faces of the same noises, under each other."""
    noise, strips = options.kind.noise(8, options.noise), []
    for n in options.sizes:
        rows = paintings(options, n, options.seeds[0], noise)
        grid = pixels.image_grid(torch.cat(rows), columns=8)
        strips.append(grid.repeat(2, 0).repeat(2, 1))
    name = "halves.png" if options.painter == "diffusion" else f"halves_{options.painter}.png"
    options.figures.mkdir(parents=True, exist_ok=True)
    with atomic(options.figures / name) as temporary:
        titles = [f"{n:,} faces each" for n in options.sizes]
        titled(strips, titles).save(temporary, format="PNG", optimize=True)


def titled(strips: list[np.ndarray], titles: list[str]) -> Image.Image:
    """The strips (H, W, 3) under each other, each with its title above."""
    height, width = strips[0].shape[:2]
    whole = np.full((len(strips) * (height + TITLE), width, 3), 255, np.uint8)
    figure = plt.figure(figsize=(width / 100, len(whole) / 100), dpi=100, layout="none")
    for i, (strip, title) in enumerate(zip(strips, titles, strict=True)):
        top = i * (height + TITLE)
        whole[top + TITLE : top + TITLE + height] = strip
        figure.text(0.002, 1 - (top + TITLE - 9) / len(whole), title, fontsize=13, color=plots.INK)
    figure.figimage(whole, zorder=-1)
    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    plt.close(figure)
    return drawn


def export(options: argparse.Namespace) -> None:
    """Seed 0's pairs into the course's own weights, 16 bits a number."""
    for n in options.sizes:
        seed = options.seeds[0]
        took = [
            json.loads((folder_of(options, n, seed, half) / "took.json").read_text())
            for half in (0, 1)
        ]
        about = took[0] | {
            "images": sum(one["images"] for one in took),
            "minutes": round(sum(one["minutes"] for one in took), 1),
            "command": f"python benchmarks/halves.py train --run runs/halves --looks "
            f"{options.looks} --precision {options.precision}",
        }
        pair = novelty.Pair()
        for half, name in enumerate(NAMES):
            getattr(pair, name).load_state_dict(painter_of(options, n, seed, half).state_dict())
        config = {"channels": list(pair.one.config.block_out_channels)}
        print(pretrained.save(f"halves-{n}", pair, config=config, training=about))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("train", "table", "picture", "export"))
    parser.add_argument("--run", type=Path, default=Path("runs/halves"))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(novelty.SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--painter", choices=PAINTERS, default="diffusion")
    parser.add_argument("--strangers", action="store_true", help="each begins with its own weights")
    parser.add_argument("--looks", type=int, default=60_000, help="at pictures, of each painter")
    parser.add_argument("--pictures", type=int, default=256, help="of each painter, for the table")
    parser.add_argument("--noise", type=int, default=1, help="seed of the picture's noises")
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--figures", type=Path, default=Path("data/figures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.kind = PAINTERS[options.painter]()
    if options.task != "train":
        {"table": table, "picture": picture, "export": export}[options.task](options)
        return
    for seed in options.seeds:
        for n in options.sizes:
            for half in (0, 1):
                train_half(options, n, seed, half)


if __name__ == "__main__":
    main()
