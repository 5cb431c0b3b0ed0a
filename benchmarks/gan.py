"""The tutorial's GAN training against the course's: same faces, same machine, same seconds.

    python benchmarks/gan.py train --run runs/gan                # three seeds, 15 minutes each
    python benchmarks/gan.py table --run runs/gan                # measure, print, draw
    python benchmarks/gan.py export --run runs/gan --seed 0      # the two that lesson 3 compares
    python benchmarks/gan.py speed                               # images/s, change by change

`train` runs the arms of a seed side by side, with one thread each, and goes on where it was
interrupted. The seconds are the processor's, so that other work on the machine costs no arm
anything. The weights of each arm are kept after a quarter, a half and all of the time.

What each part of the recipe is worth: `--arms` names others of `ARMS`, and `--images` gives all of
them the same number of images instead of the same time:

    python benchmarks/gan.py train --run runs/parts --images 32000 --width 16 --arms ours shift
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from course_lib import dcgan, faces, metrics, plots, pretrained, settings, training

PARTS = (0.25, 0.5, 1.0)  # of the training, after which the arms are compared
OURS = dcgan.R1
ARMS: dict[str, dcgan.Recipe | None] = {
    "tutorial": None,  # the tutorial's own loop, see `train_tutorial`
    "ours": OURS,
    "ours-32-bits": OURS,  # what a processor without 16-bit floats can do
    # one change each
    "no-penalty": replace(OURS, penalty=0),
    "penalty-0.5": replace(OURS, penalty=0.5),
    "penalty-3": replace(OURS, penalty=3),
    "batchnorm": replace(OURS, normalization="batch"),
    "batch-64": replace(OURS, batch_size=64),
    "batch-128": replace(OURS, batch_size=128),
    "momentum": replace(OURS, betas=(0.5, 0.999)),
    "slow": replace(OURS, generator_rate=2e-4, discriminator_rate=2e-4),
    "no-average": replace(OURS, average=0),
    "no-flip": replace(OURS, flip=False),
    "shift": replace(OURS, shift=0.125),
    "hinge": dcgan.HINGE,
    "tutorial-32": replace(dcgan.TUTORIAL, batch_size=32),
}
HERE = Path(__file__).parent


# One training


def train_tutorial(
    data: training.Data, *, images: int, width: int, seed: int, **options: Any
) -> dcgan.Trained:
    """The official PyTorch DCGAN tutorial's loop and networks, in its own way of computing.

    `dcgan.tutorial_step` is its step, line by line; memory order, Adam, learning rate and batch
    size are its own. The batches come from `training.fit`, and the first weights are those of
    `dcgan.train` with the same seed. It gets one thing that the tutorial has not: BatchNorm's
    statistics are measured for the last weights, as for ours.
    """
    device = settings.device()
    torch.manual_seed(seed)
    torch.randn(64, dcgan.NOISE_SIZE)  # where `dcgan.train` draws its fixed noise
    G = dcgan.Generator(width=width).apply(dcgan.initialise_weights).to(device)
    D = dcgan.Discriminator(width).apply(dcgan.initialise_weights).to(device)
    optimisers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (G, D)]
    history = training.fit(
        partial(dcgan.tutorial_step, G, D, *optimisers),
        data,
        steps=-(-images // 128),
        batch_size=128,
        seed=seed,
        keep={"G": G, "D": D, "G_optimiser": optimisers[0], "D_optimiser": optimisers[1]},
        **options,
    )
    noise = torch.randn(8, 64, dcgan.NOISE_SIZE, generator=torch.Generator().manual_seed(seed))
    training.refresh_batchnorm(G, iter(noise.to(device)))
    return dcgan.Trained(G.eval(), history)


def trainer(arm: str, precision: str) -> Callable[..., dcgan.Trained]:
    """What trains an arm. The tutorial's knows no other precision than 32 bits."""
    recipe = ARMS[arm]
    if recipe is None:
        return train_tutorial
    precision = "no" if arm == "ours-32-bits" else precision
    return partial(dcgan.train, recipe=recipe, precision=precision)


def train_arm(options: argparse.Namespace) -> None:
    """Train one arm with one seed; keep its weights after each of `PARTS`."""
    torch.set_num_threads(options.threads)
    train = trainer(options.arm, options.precision)
    name = f"{options.arm}-{options.seed}"
    for part in PARTS if not options.images else PARTS[-1:]:
        about = options.run / f"{name}-{part}.json"  # written last: it says that the part is done
        if about.exists():
            continue
        generator, history = train(
            faces.load("train"),
            images=round(part * options.images) if options.images else 10**9,
            max_minutes=None if options.images else part * options.minutes,
            width=options.width,
            seed=options.seed,
            folder=options.run / name,
            save_every=1000,
            pictures_every=10**9,
            progress=False,
            clock=time.process_time if options.threads == 1 else time.perf_counter,
        )
        save_file(
            {key: value.cpu().contiguous() for key, value in generator.state_dict().items()},
            about.with_suffix(".safetensors"),
        )
        facts = {
            "arm": options.arm,
            "seed": options.seed,
            "part": part,
            "width": options.width,
            "images": history.images,
            "seconds": history.seconds,
            "curves": {key: history.curve(key) for key in history.losses},
        }
        with training.atomic(about) as temporary:
            temporary.write_text(json.dumps(facts, indent=1))
        print(f"{name}: {history.images:,} images in {history.seconds / 60:.1f} min", flush=True)


def train_all(options: argparse.Namespace) -> None:
    """Train every arm with every seed, `--together` at a time, each in a process of its own."""
    options.run.mkdir(parents=True, exist_ok=True)
    same = ("run", "minutes", "images", "width", "threads", "precision")
    words = [str(word) for name in same for word in (f"--{name}", getattr(options, name))]

    def run(job: tuple[int, str]) -> int:
        seed, arm = job
        return subprocess.run(
            [sys.executable, __file__, "arm", "--arm", arm, "--seed", str(seed), *words],
            env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        ).returncode

    jobs = [(seed, arm) for seed in range(options.seeds) for arm in options.arms]
    with ThreadPoolExecutor(options.together) as pool:
        if any(pool.map(run, jobs)):
            sys.exit("An arm failed, see above; the same command goes on where it stopped.")


# Measuring


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the weights that `train` kept; what was measured before is read, not done again."""
    ruler = metrics.Ruler(faces.load("train"), faces.load("held-out"))
    rows = []
    for path in sorted(options.run.glob("*-*-*.json")):
        row = json.loads(path.read_text())
        if "measures" not in row:
            measures = ruler.measure(metrics.painter(load_generator(path, row["width"])))
            row["measures"] = {name: measures[name]._asdict() for name in measures}
            with training.atomic(path) as temporary:
                temporary.write_text(json.dumps(row, indent=1))
        rows.append(row)
    if not rows:
        sys.exit(f"{options.run} holds no finished part of a training; run `train` first")
    return rows


def load_generator(path: Path, width: int) -> dcgan.Generator:
    generator = dcgan.Generator(width=width)
    generator.load_state_dict(load_file(path.with_suffix(".safetensors")))
    return generator.to(settings.device()).eval()


# What `table` prints and draws

COLUMNS = {
    "frechet/convolution": "Fréchet, convolution",
    "frechet/pixels": "Fréchet, pixels",
    "kernel/convolution": "kernel, convolution",
    "kernel/pixels": "kernel, pixels",
    "precision": "precision",
    "recall": "recall",
}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Every arm and seed at the end, then the arms' medians on the way there, as Markdown."""
    print("| arm | seed | images | images/s | " + " | ".join(COLUMNS.values()) + " |")
    print("|---|---|---|---|" + "---|" * len(COLUMNS))
    for row in rows:
        if row["part"] == PARTS[-1]:
            speed = row["images"] / row["seconds"]
            cells = [cell(row["measures"][name]) for name in COLUMNS]
            print(f"| {row['arm']} | {row['seed']} | {row['images']:,} | {speed:.0f} | ", end="")
            print(" | ".join(cells) + " |")
    print("\n| median of the seeds | after | " + " | ".join(COLUMNS.values()) + " |")
    print("|---|---|" + "---|" * len(COLUMNS))
    for arm in dict.fromkeys(row["arm"] for row in rows):
        for part in PARTS:
            same = [row for row in rows if (row["arm"], row["part"]) == (arm, part)]
            minutes = statistics.median(row["seconds"] for row in same) / 60
            cells = [f"{middle(same, name):.2f}" for name in COLUMNS]
            print(f"| {arm} | {minutes:.1f} min | " + " | ".join(cells) + " |")


def cell(measure: dict[str, float]) -> str:
    return f"{measure['value']:.2f} ± {(measure['high'] - measure['low']) / 2:.2f}"


def middle(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.median(row["measures"][name]["value"] for row in rows)


@plots.styled
def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Each seed's distances on the way, tutorial and ours, one panel a measure."""
    colours = dict(zip(dict.fromkeys(row["arm"] for row in rows), plots.PALETTE, strict=False))
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.4))
    for axes, name in zip(panels, ("frechet/convolution", "frechet/pixels", "recall"), strict=True):
        for arm, colour in colours.items():
            for seed in sorted({row["seed"] for row in rows}):
                run = [row for row in rows if (row["arm"], row["seed"]) == (arm, seed)]
                run.sort(key=lambda row: row["part"])
                axes.plot(
                    [row["seconds"] / 60 for row in run],
                    [row["measures"][name]["value"] for row in run],
                    "o-",
                    color=colour,
                    label=arm if seed == 0 else None,
                )
        axes.set(title=COLUMNS[name], xlabel="minutes of one core", ylim=(0, None))
        axes.set_ylabel("floors" if "/" in name else "")
    panels[0].legend()
    figure.savefig(path)
    plt.close(figure)


def draw_grids(rows: list[dict[str, Any]], run: Path, path: Path, columns: int = 8) -> None:
    """The same noise at each of `PARTS` (rows), one block of columns an arm, seed 0."""
    lines = []
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    for part in PARTS:
        blocks = []
        for arm in arms:
            generator = load_generator(run / f"{arm}-0-{part}.json", rows[0]["width"])
            faces_of_arm = metrics.painter(generator)(2 * columns, 1)
            blocks.append(plots.image_grid(faces_of_arm, columns=columns))
        lines.append(blocks)
    height, width, _ = lines[0][0].shape
    picture = Image.new("RGB", (len(arms) * (width + 16) - 16, 3 * (height + 10) - 10), "white")
    for i, blocks in enumerate(lines):
        for j, block in enumerate(blocks):
            picture.paste(Image.fromarray(block), (j * (width + 16), i * (height + 10)))
    picture.save(path, optimize=True)


def table(options: argparse.Namespace) -> None:
    rows = measure(options)
    print_table(rows)
    folder = HERE / "figures"
    folder.mkdir(exist_ok=True)
    draw(rows, folder / "gan_distances.png")
    draw_grids(rows, options.run, folder / "gan_faces.png")


def export(options: argparse.Namespace) -> None:
    """Write the two generators of one seed, and all that was measured, for lesson 3."""
    rows = measure(options)
    kept = ("arm", "seed", "part", "images", "seconds", "measures")
    for arm, name in {"tutorial": "faces-article", "ours": "faces-better"}.items():
        path = options.run / f"{arm}-{options.seed}-{PARTS[-1]}.json"
        row = json.loads(path.read_text())
        pretrained.save(
            name,
            load_generator(path, row["width"]),
            config={"width": row["width"]},
            training={
                "data": "data/faces.parquet, train split",
                "images": row["images"],
                "minutes": round(row["seconds"] / 60, 1),
                "seed": options.seed,
                "losses": row["curves"],
                "bench": [{key: one[key] for key in kept} for one in rows if one["arm"] == arm],
                "command": "python benchmarks/gan.py train, then export",
            },
        )


# Images per second


def speed(options: argparse.Namespace) -> None:
    """Images/s of each way to compute, in short turns one after the other, median of the turns."""
    torch.set_num_threads(options.threads)
    data = faces.load("train")
    at_128 = replace(OURS, batch_size=128)
    ways = {
        "the tutorial's loop, batch 128": train_tutorial,
        "the same step, channels last, fused Adam": partial(dcgan.train, recipe=dcgan.TUTORIAL),
        "our step, batch 128": partial(dcgan.train, recipe=at_128),
        "without the penalty": partial(dcgan.train, recipe=replace(at_128, penalty=0)),
        f"ours, batch {OURS.batch_size}": trainer("ours", "no"),
        f"ours, batch {OURS.batch_size}, bf16": trainer("ours", "bf16"),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.turns + 1):
        for way, train in ways.items():
            history = train(data, images=1280, width=options.width, seed=turn, progress=False)[1]
            if turn:  # the first turn only warms up
                speeds[way].append(history.images / history.seconds)
    first = statistics.median(speeds["the tutorial's loop, batch 128"])
    print(f"width {options.width}, {options.threads} thread(s), {settings.device()}\n")
    print("| way | images/s | of the tutorial's | slowest and fastest turn |\n|---|---|---|---|")
    for way, values in speeds.items():
        middle_one = statistics.median(values)
        print(f"| {way} | {middle_one:.0f} | {middle_one / first:.2f} × | ", end="")
        print(f"{min(values):.0f}–{max(values):.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=(run.__doc__ or "").split("\n")[0])
        one.set_defaults(run_command=run)
        one.add_argument("--width", type=int, default=32, help="of both networks")
        one.add_argument("--threads", type=int, default=1, help="CPU threads of one training")
        return one

    for name, run in {"train": train_all, "arm": train_arm}.items():
        one = command(name, run)
        one.add_argument("--run", type=Path, required=True, help="folder of the trainings")
        one.add_argument("--minutes", type=float, default=15, help="of each training")
        one.add_argument("--images", type=int, default=0, help="of each training, not minutes")
        one.add_argument(
            "--precision", choices=("auto", "no", "bf16"), default="auto", help="of ours"
        )
        if name == "arm":
            one.add_argument("--arm", choices=ARMS, required=True)
            one.add_argument("--seed", type=int, required=True)
        else:
            one.add_argument("--arms", nargs="+", choices=ARMS, default=["tutorial", "ours"])
            one.add_argument("--seeds", type=int, default=3)
            one.add_argument("--together", type=int, default=2, help="trainings at a time")
    for name, run in {"table": table, "export": export}.items():
        one = command(name, run)
        one.add_argument("--run", type=Path, required=True, help="folder of the trainings")
        one.add_argument("--seed", type=int, default=0, help="whose weights `export` takes")
    command("speed", speed).add_argument("--turns", type=int, default=5)

    options = parser.parse_args()
    options.run_command(options)


if __name__ == "__main__":
    main()
