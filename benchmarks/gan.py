"""The tutorial's GAN training against the course's: same faces, same machine, same seconds.

    python benchmarks/gan.py train --run runs/gan                # three seeds, 15 minutes each
    python benchmarks/gan.py table --run runs/gan                # measure, print, draw
    python benchmarks/gan.py export --run runs/gan --seed 0      # the two that lesson 3 compares
    python benchmarks/gan.py speed                               # images/s, change by change

`train` runs the arms of a seed side by side, with one thread each, and goes on where it was
interrupted. The seconds are the processor's, so that other work on the machine costs the arms
little. The weights of each arm are kept after a quarter, a half and all of the time.

What each part of the recipe is worth: `--arms` names others of `ARMS`, and `--images` gives all of
them the same number of images instead of the same time:

    python benchmarks/gan.py train --run runs/parts --images 32000 --width 16 --arms ours momentum
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
from tqdm.auto import tqdm

from course_lib import dcgan, faces, files, metrics, pixels, plots, pretrained, settings, training

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
    "batch-128": replace(OURS, batch_size=128),
    "momentum": replace(OURS, betas=(0.5, 0.999)),
    "no-average": replace(OURS, average=0),
    "no-leak": replace(OURS, leak=0.0),  # ReLU in D
    # two changes
    "penalty-0.5-batch-64": replace(OURS, penalty=0.5, batch_size=64),
    "penalty-0.5-shift": replace(OURS, penalty=0.5, shift=0.125),
    "hinge": dcgan.HINGE,
}
EXPORTED = {"tutorial": "faces-article", "ours": "faces-better"}  # arm → name of its weights


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
    G, D = (net.to(device) for net in dcgan.networks(dcgan.TUTORIAL, width, 64, seed))
    optimisers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (G, D)]

    def step(real: torch.Tensor) -> dict[str, torch.Tensor]:
        return dcgan.tutorial_step(G, D, *optimisers, real.contiguous())

    history = training.fit(
        step,
        data,
        steps=-(-images // 128),
        batch_size=128,
        seed=seed,
        keep={"G": G, "D": D, "G_optimiser": optimisers[0], "D_optimiser": optimisers[1]},
        **options,
    )
    statistics = torch.Generator().manual_seed(training.derive(seed, "statistics"))
    noise = torch.randn(8, 64, dcgan.NOISE_SIZE, generator=statistics)
    training.refresh_batchnorm(G, iter(noise.to(device)))
    return dcgan.Trained(G.eval(), history)


def precision_of(arm: str, precision: str) -> str:
    """The article's loop knows 32 bits only, and one arm of ours is held to them."""
    if arm in ("tutorial", "ours-32-bits"):
        return "no"
    return training.fast_precision() if precision == "auto" else precision


def trainer(arm: str, precision: str) -> Callable[..., dcgan.Trained]:
    """What trains an arm."""
    recipe = ARMS[arm]
    if recipe is None:
        return train_tutorial
    return partial(dcgan.train, recipe=recipe, precision=precision_of(arm, precision))


def train_arm(options: argparse.Namespace) -> None:
    """Train one arm with one seed; keep its weights after each of `PARTS`."""
    torch.set_num_threads(options.threads)
    alone = options.threads == 1 and settings.device().type == "cpu"
    asked = {
        "arm": options.arm,
        "seed": options.seed,
        "width": options.width,
        "asked_minutes": None if options.images else options.minutes,
        "asked_images": options.images,
        "threads": options.threads,
        "device": str(settings.device()),
        "precision": precision_of(options.arm, options.precision),
    }
    train = trainer(options.arm, options.precision)
    name = f"{options.arm}-{options.seed}"
    for part in PARTS if not options.images else PARTS[-1:]:
        about = options.run / f"{name}-{part}.json"  # written last: it says that the part is done
        if about.exists():
            check_same(about, asked)
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
            clock=time.process_time if alone else time.perf_counter,
        )
        if history.stopped == "interrupted":
            sys.exit(1)  # the same command goes on
        save_file(
            {key: value.cpu().contiguous() for key, value in generator.state_dict().items()},
            about.with_suffix(".safetensors"),
        )
        recipe = ARMS[options.arm] or "the official PyTorch DCGAN tutorial's"
        facts = training.took(history, recipe, options.seed, asked["precision"])
        facts |= asked | {"part": part, "seconds": history.seconds}
        with files.atomic(about) as temporary:
            temporary.write_text(json.dumps(facts, indent=1))
        print(f"{name}: {history.images:,} images in {history.seconds / 60:.1f} min", flush=True)


def check_same(about: Path, asked: dict[str, Any]) -> None:
    """End the program if this part was trained with other settings than those asked for."""
    known = json.loads(about.read_text())
    if different := [key for key, value in asked.items() if known.get(key) != value]:
        found = ", ".join(f"{key} {known.get(key)} (now {asked[key]})" for key in different)
        sys.exit(f"{about} was trained with {found}; give another folder with --run")


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
    paths = sorted(options.run.glob("*-*-*.json"))
    if not paths:
        sys.exit(f"{options.run} holds no finished part of a training; run `train` first")
    rows = {path: json.loads(path.read_text()) for path in paths}
    if new := [path for path in paths if "measures" not in rows[path]]:
        ruler = metrics.Ruler(faces.load("train"), faces.load("held-out"))
        for path in tqdm(new, desc="measuring"):
            painter = metrics.painter(load_generator(path, rows[path]["width"]))
            measures = ruler.measure(painter)
            rows[path]["measures"] = {name: measures[name]._asdict() for name in measures}
            with files.atomic(path) as temporary:
                temporary.write_text(json.dumps(rows[path], indent=1))
    return sorted(rows.values(), key=lambda row: list(ARMS).index(row["arm"]))


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
    print("\n| median of the seeds | after | images | " + " | ".join(COLUMNS.values()) + " |")
    print("|---|---|---|" + "---|" * len(COLUMNS))
    for arm, part in dict.fromkeys((row["arm"], row["part"]) for row in rows):
        same = [row for row in rows if (row["arm"], row["part"]) == (arm, part)]
        minutes = statistics.median(row["seconds"] for row in same) / 60
        images = statistics.median(row["images"] for row in same)
        cells = [number(middle(same, name)) for name in COLUMNS]
        print(f"| {arm} | {minutes:.1f} min | {images:,.0f} | " + " | ".join(cells) + " |")


def cell(measure: dict[str, float]) -> str:
    half = (measure["high"] - measure["low"]) / 2
    return f"{number(measure['value'])} ± {number(half)}"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def middle(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.median(row["measures"][name]["value"] for row in rows)


@plots.styled
def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Each seed's distances on the way, tutorial and ours, one panel a measure."""
    colours = dict(zip(dict.fromkeys(row["arm"] for row in rows), plots.PALETTE, strict=False))
    names = ("frechet/convolution", "frechet/pixels", "recall")
    figure, panels = plt.subplots(1, len(names), figsize=(10, 3.4))
    for axes, name in zip(panels, names, strict=True):
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
        axes.set(title=COLUMNS[name], xlabel="minutes of one core", xlim=(0, None))
        if "/" in name:
            axes.set(yscale="log", ylabel="floors")
            axes.set_ylim(bottom=0.8)
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.set(ylabel="share", ylim=(0, 1))
    panels[0].legend()
    figure.savefig(path)
    plt.close(figure)


def draw_grids(rows: list[dict[str, Any]], run: Path, path: Path, columns: int = 8) -> None:
    """Seed 0's faces: one row of blocks for each part of the training, one column for each arm."""
    arms, parts = (list(dict.fromkeys(row[key] for row in rows)) for key in ("arm", "part"))
    side, gap = columns * 66 - 2, 14
    height = 2 * 66 - 2
    size = len(arms) * (side + gap) - gap, len(parts) * (height + gap) - gap
    picture = Image.new("RGB", size, "white")
    for row in rows:
        if row["seed"] == 0:
            generator = load_generator(run / f"{row['arm']}-0-{row['part']}.json", row["width"])
            painted = metrics.painter(generator)(2 * columns, 1)  # the same noise everywhere
            block = Image.fromarray(pixels.image_grid(painted, columns=columns))
            i, j = arms.index(row["arm"]), parts.index(row["part"])
            picture.paste(block, (i * (side + gap), j * (height + gap)))
    picture.save(path, optimize=True)


def table(options: argparse.Namespace) -> None:
    """Measure every arm, print the tables, draw the figures."""
    rows = measure(options)
    print_table(rows)
    folder = options.figures or options.run
    folder.mkdir(exist_ok=True)
    draw(rows, folder / "gan_distances.png")
    draw_grids(rows, options.run, folder / "gan_faces.png")


def export(options: argparse.Namespace) -> None:
    """Write the two generators of one seed, and all that was measured, for lesson 3."""
    rows = measure(options)
    done = {arm: {(r["seed"], r["part"]) for r in rows if r["arm"] == arm} for arm in EXPORTED}
    seeds = {seed for parts in done.values() for seed, _ in parts}
    if any(parts != {(seed, part) for seed in seeds for part in PARTS} for parts in done.values()):
        sys.exit(
            f"{options.run} has not every part of every seed yet; run `train` to the end first"
        )
    kept = ("arm", "seed", "part", "images", "seconds", "measures")
    for arm, name in EXPORTED.items():
        path = options.run / f"{arm}-{options.seed}-{PARTS[-1]}.json"
        row = json.loads(path.read_text())
        pretrained.save(
            name,
            load_generator(path, row["width"]),
            config={"width": row["width"]},
            training={
                "data": "bundled",
                **{key: value for key, value in row.items() if key not in ("measures", "part")},
                "bench": [{key: one[key] for key in kept} for one in rows if one["arm"] == arm],
                "command": "python benchmarks/gan.py train --run RUN, then "
                f"python benchmarks/gan.py export --run RUN --seed {options.seed}",
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
        if name == "table":
            one.add_argument("--figures", type=Path, help="folder for them; else that of the run")
        else:
            one.add_argument("--seed", type=int, default=0, help="whose weights to take")
    command("speed", speed).add_argument("--turns", type=int, default=5)

    options = parser.parse_args()
    options.run_command(options)


if __name__ == "__main__":
    main()
