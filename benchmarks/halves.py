"""Two painters on disjoint halves of the faces, the same noise into both. A table and a picture.

    python benchmarks/halves.py train --run runs/halves     # every size, three seeds, both halves
    python benchmarks/halves.py table --run runs/halves     # agreement, memory, by size
    python benchmarks/halves.py picture --run runs/halves   # the same noises, size by size
    python benchmarks/halves.py export --run runs/halves    # keep seed 0's pairs

The seed decides who is in which half, the first weights and the noise of the training; both halves
of a pair begin with the same. Every painter of every size gets the same number of latents
(`--latents`) and one thread. What is done is not done again; an interrupted training goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib import faces, novelty, pixels, pretrained
from course_lib import latent_diffusion as ld
from course_lib.files import atomic

NAMES = ("one", "other")


def folder_of(options: argparse.Namespace, n: int, seed: int, half: int) -> Path:
    return options.run / f"{n}-{seed}-{NAMES[half]}"


def train_half(options: argparse.Namespace, n: int, seed: int, half: int) -> None:
    """One painter, unless it is there; its weights and what they took stay in its folder."""
    folder = folder_of(options, n, seed, half)
    if (folder / "took.json").exists():
        return
    plan = novelty.build(
        novelty.halves(n, seed)[half], seed=seed, precision=options.precision,
        autoencoder=options.autoencoder,
    )  # fmt: skip
    history = plan.fit(options.latents, folder=folder, save_every=1000, pictures_every=10**9)
    if history.stopped:
        raise SystemExit(f"{folder.name}: {history.stopped}; run it again, it goes on")
    keep(folder, plan.result(), plan.took(history))


def keep(folder: Path, network: torch.nn.Module, took: dict) -> None:
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    with atomic(folder / "painter.safetensors") as temporary:
        save_file(weights, temporary)
    with atomic(folder / "took.json") as temporary:
        temporary.write_text(json.dumps(took))
    print(f"{folder.name}: {took['images']:,} in {took['minutes']:.1f} minutes", flush=True)


def pair_of(options: argparse.Namespace, n: int, seed: int) -> novelty.Pair:
    pair = novelty.Pair()
    for half, name in enumerate(NAMES):
        weights = load_file(folder_of(options, n, seed, half) / "painter.safetensors")
        getattr(pair, name).load_state_dict(weights)
    return pair.eval()


def seeds_of(options: argparse.Namespace, n: int) -> list[int]:
    """The seeds of which both painters are finished."""
    return [
        seed
        for seed in options.seeds
        if all((folder_of(options, n, seed, half) / "took.json").exists() for half in (0, 1))
    ]


def measure(options: argparse.Namespace, n: int, seed: int) -> dict[str, float]:
    """What the table says of one pair."""
    pair = pair_of(options, n, seed)
    noise = novelty.noise_for(options.pictures, 1000 + seed)
    painted = [
        novelty.paint(painter, options.autoencoder, noise) for painter in (pair.one, pair.other)
    ]
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
    noise = novelty.noise_for(8, options.noise)
    rows: list[Tensor] = []
    for n in options.sizes:
        pair = pair_of(options, n, options.seeds[0])
        rows += [novelty.paint(one, options.autoencoder, noise) for one in (pair.one, pair.other)]
    grid = pixels.image_grid(torch.cat(rows), columns=8)
    options.figures.mkdir(parents=True, exist_ok=True)
    large = Image.fromarray(np.asarray(grid)).resize(
        (grid.shape[1] * 2, grid.shape[0] * 2), Image.Resampling.NEAREST
    )
    with atomic(options.figures / "halves.png") as temporary:
        large.save(temporary, format="PNG", optimize=True)


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
            "command": f"python benchmarks/halves.py train --run runs/halves --latents "
            f"{options.latents} --precision {options.precision}",
        }
        pair = pair_of(options, n, seed)
        config = {"channels": list(pair.one.config.block_out_channels)}
        print(pretrained.save(f"halves-{n}", pair, config=config, training=about))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("train", "table", "picture", "export"))
    parser.add_argument("--run", type=Path, default=Path("runs/halves"))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(novelty.SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--latents", type=int, default=40_000, help="of each painter")
    parser.add_argument("--pictures", type=int, default=256, help="of each painter, for the table")
    parser.add_argument("--noise", type=int, default=1, help="seed of the picture's noises")
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--figures", type=Path, default=Path("notebooks/figures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.autoencoder = ld.load_autoencoder()
    if options.task != "train":
        {"table": table, "picture": picture, "export": export}[options.task](options)
        return
    for seed in options.seeds:
        for half in (0, 1):
            for n in options.sizes:
                train_half(options, n, seed, half)


if __name__ == "__main__":
    main()
