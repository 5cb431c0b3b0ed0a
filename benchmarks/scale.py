"""How the cost of training lesson 3's GAN grows with batch, networks, pictures and processes.

    python benchmarks/scale.py                            # every table: a quarter of an hour
    python benchmarks/scale.py --tables batch processes   # some of them
    python benchmarks/scale.py --json runs/scale.json     # the raw numbers, too
    python benchmarks/scale.py --device cpu               # although there is a GPU

What is measured is `dcgan.train` with `dcgan.R1`. Each table changes one thing of a common base.
Each row has a process of its own, so that its peak memory is its own. The first steps are slower
and do not count; what follows is a turn of `--seconds`. Turns of one process resemble each other
more than two processes do, so all rows are measured `--repeats` times over, one after another.

The penalty comes in one step of 16, by chance. So that a short turn is not at the mercy of chance,
steps without it and with it are timed apart, and put together as 15 to 1.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_lib import dcgan, faces, files, settings, training

PENALTY_SHARE = dcgan.R1.penalty_share  # of the steps
PICTURES = 1024  # in memory, at least as many as the largest batch of all processes
KINDS = (  # of steps: what is changed in the recipe, and what part of the time each gets
    ("plain", {"penalty": 0.0}, 0.75),
    ("penalised", {"penalty_share": 1.0}, 0.25),
)
BLOCKS = 5  # looks at the clock in a turn; one block before it warms up
TORCHRUN = ["-m", "torch.distributed.run", "--rdzv_backend", "c10d"]
TORCHRUN += ["--rdzv_endpoint", "localhost:0"]  # any free port


@dataclass(frozen=True)
class Row:
    """One training to measure."""

    width: int
    size: int
    batch_size: int  # of each process
    precision: str  # "no": 32 bits, "tf32": of a GPU, "bf16"
    processes: int = 1
    threads: int = 1  # of each process, on a CPU
    compiler: str = "no"  # of `torch.compile`; "inductor" is its own
    data: str = "memory"  # "memory", "card" or "disk"
    workers: int = 0


@dataclass(frozen=True)
class Values:
    """What the tables go through."""

    base: tuple[int, int, int]  # width, size, batch
    batches: tuple[int, ...]
    widths: tuple[int, ...]
    sizes: tuple[int, ...]
    workers: tuple[int, ...]
    compiler: str


FULL = Values(
    (32, 64, 32), (8, 16, 32, 64, 128), (16, 32, 64), (32, 64, 128), (0, 1, 2), "inductor"
)
QUICK = Values((4, 32, 4), (4, 8), (4, 8), (32, 64), (0, 1), "aot_eager")  # no C++ to compile
MORE_BATCHES = (256, 512, 1024)  # of a GPU, which has more to do at once

# The highest rates that the makers state, in TFLOP/s without sparsity, by the name that
# torch.cuda.get_device_name gives: in 32 bits, tf32, bf16. From NVIDIA's data sheets of H200, H100,
# A100, L40S, L4 and T4 (where they state "with sparsity", half of it), and its whitepapers of GA102
# (RTX 3090) and Ada (RTX 4090), with sums in 32 bits.
PEAKS = {
    "NVIDIA H200": (67.0, 494.5, 989.5),
    "NVIDIA H100 80GB HBM3": (67.0, 494.5, 989.5),
    "NVIDIA H100 PCIe": (51.0, 378.0, 756.5),
    "NVIDIA A100-SXM4-80GB": (19.5, 156.0, 312.0),
    "NVIDIA A100-SXM4-40GB": (19.5, 156.0, 312.0),
    "NVIDIA A100 80GB PCIe": (19.5, 156.0, 312.0),
    "NVIDIA A100-PCIE-40GB": (19.5, 156.0, 312.0),
    "NVIDIA L40S": (91.6, 183.0, 362.0),
    "NVIDIA L4": (30.3, 60.0, 121.0),
    "NVIDIA GeForce RTX 4090": (82.6, 82.6, 165.2),
    "NVIDIA GeForce RTX 3090": (35.6, 35.6, 71.0),
    "Tesla T4": (8.1, 0.0, 0.0),  # knows neither
}
PRECISIONS = ("no", "tf32", "bf16")


def peak(card: str, precision: str) -> float:
    """A card's highest rate in FLOP/s; 0 if it is not known."""
    return 1e12 * PEAKS.get(card, (0.0, 0.0, 0.0))[PRECISIONS.index(precision)]


# What is measured: one row, in a process of its own


class Countable:
    """D, called with a view of its pictures.

    FlopCounterMode hooks what a module is given, and could not hook the very pictures by which the
    penalty differentiates.
    """

    def __init__(self, network: nn.Module):
        self.network, self.requires_grad_ = network, network.requires_grad_

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images.view_as(images))


@cache
def flop_per_image(width: int, size: int) -> tuple[int, int]:
    """Floating-point operations of a step for each image: without the penalty and with it.

    PyTorch counts what a step would compute, forward and backward: convolutions only, a
    multiply-add is two. (They are the same for every batch size and precision.)
    """
    recipe, images = dcgan.R1, 2
    with torch.device("meta"):  # shapes without numbers: nothing is computed
        G = dcgan.Generator(width=width, image_size=size)
        D = dcgan.Discriminator(
            width, image_size=size, normalization=recipe.normalization, sigmoid=False
        )
        real = torch.zeros(images, *D.image_shape)
    optimisers = [torch.optim.SGD(net.parameters(), lr=0) for net in (G, D)]

    def count(penalty: float) -> int:
        with FlopCounterMode(display=False) as counter:
            dcgan.adversarial_step(
                G, Countable(D), *optimisers, real, penalty=penalty, penalty_share=1.0
            )
        return counter.get_total_flops() // images

    return count(0.0), count(recipe.penalty)


class OnCard:
    """Pictures that lie on the GPU as bytes; a `training.Data`."""

    def __init__(self, images: np.ndarray, device: torch.device):
        self.images = torch.from_numpy(images).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def tensor(self, indices: Any) -> torch.Tensor:
        chosen = torch.as_tensor(np.asarray(indices)).to(self.images.device)
        return self.images[chosen].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def pictures(row: Row, cache_dir: Path) -> training.Data:
    """Noise, for the networks take as long for it as for faces; from the disk, the drawn faces."""
    if row.data == "disk":
        return faces.stream(settings.data_dir() / "faces.parquet", row.size, cache_dir)
    shape = (PICTURES, row.size, row.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return OnCard(images, settings.device()) if row.data == "card" else faces.Faces(images)


def peak_memory() -> int:
    """The most bytes that were in use: of this process on a CPU, else of PyTorch on the card.

    On a CPU it is the whole resident set: Python, PyTorch, the pictures. getrusage knows it, too,
    but on Linux its number is never below that of the process that started this one.
    """
    if settings.device().type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def core_seconds() -> float:
    """The seconds that cores have worked for this process and for the ended ones it had started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def reading(data: training.Data, number: int = 512) -> float:
    """Core seconds to get one picture ready in this process, by chance one of all."""
    order = np.random.default_rng(1).permutation(len(data))[:number]
    before = time.process_time()
    for i in range(0, number, 32):
        data.tensor(order[i : i + 32])
    return (time.process_time() - before) / number


def measure(row: Row, seconds: float, cache_dir: Path) -> dict[str, Any]:
    """Seconds for each image in a turn, and more; {} in all processes but the main one."""
    torch.set_num_threads(row.threads)
    if settings.device().type == "cuda":  # else PyTorch takes tf32 for 32 bits in convolutions
        torch.backends.cudnn.allow_tf32 = row.precision != "no"
    data = pictures(row, cache_dir)
    found: dict[str, Any] = {}
    for kind, change, part in KINDS:
        if row.compiler != "no" and kind == "penalised":
            continue  # torch.compile cannot differentiate twice
        plan = dcgan.build(
            data,
            replace(dcgan.R1, batch_size=row.batch_size, **change),
            width=row.width,
            image_size=row.size,
            precision="bf16" if row.precision == "bf16" else "no",
        )
        found.setdefault("memory before", peak_memory())
        found[kind] = turn(plan, row, part * seconds)
    found["memory"] = peak_memory()
    found["reading"] = [reading(data)]
    return found if plan.accelerator.is_main_process else {}


def turn(plan: training.Training, row: Row, seconds: float) -> dict[str, Any]:
    """Train for about so long, after a few steps to warm up."""

    def fit(steps: int, **options: Any) -> training.History:
        options |= {"workers": row.workers, "pictures": None, "progress": False}
        return plan.fit(steps * plan.together, **options)

    def everyones(value: float, how: str) -> float:
        device = plan.accelerator.device
        return float(plan.accelerator.reduce(torch.tensor(value, device=device), how))

    first, short = fit(3), fit(3)
    a_step = everyones(short.seconds / 3, "mean")  # all take as many steps
    block = max(1, round(seconds / BLOCKS / a_step))
    looks: list[float] = []  # in the main process
    before = core_seconds()
    history = fit(
        block * (1 + BLOCKS),
        look_every=block,
        report=lambda history: looks.append(history.seconds),
    )
    used = everyones(core_seconds() - before, "sum")
    if not looks:
        return {}
    return {
        "seconds an image": [(looks[-1] - looks[0]) / (BLOCKS * block * history.batch_size)],
        "core seconds an image": [used / history.images],
        "steps": history.steps,
        "first steps": first.seconds,
    }


def environment(row: Row, device: str, cache_dir: Path) -> dict[str, str]:
    return {
        "COURSE_DEVICE": device,
        "OMP_NUM_THREADS": str(row.threads),
        "ACCELERATE_DYNAMO_BACKEND": row.compiler,  # what `accelerator.prepare` compiles with
        "TORCHINDUCTOR_CACHE_DIR": str(cache_dir / "inductor"),  # nothing is compiled beforehand
    }


def measure_apart(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a fresh process, or as many as the row has; {"error": …} if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "found.json"
        words = [*TORCHRUN, "--nproc_per_node", str(row.processes)] if row.processes > 1 else []
        words += [__file__, "--row", json.dumps(asdict(row)), "--json", str(to)]
        words += ["--seconds", str(options.seconds)]
        done = subprocess.run(
            [sys.executable, *words],
            env=os.environ | environment(row, options.device, Path(folder)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not to.exists():
            print(done.stderr, file=sys.stderr)
            return {"error": what_failed(done.stderr) or f"exit status {done.returncode}"}
        return json.loads(to.read_text())


def what_failed(stderr: str) -> str:
    """The last error of a process's own; torchrun adds one that only says that there was one."""
    lines = [re.sub(r"^\[rank\d+\]: ", "", line) for line in stderr.splitlines()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    own = [line for line in errors if "ChildFailedError" not in line]
    return own[-1].replace("|", "/")[:200] if own else ""


# What the numbers say


def both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two measurements of one row: lists follow each other, of numbers the larger. Or the error."""
    if "error" in one or "error" in other:
        return dict(one if "error" in one else other)
    joined: dict[str, Any] = {}
    for key, value in one.items():
        if isinstance(value, Mapping):
            joined[key] = both(value, other[key])
        else:
            joined[key] = value + other[key] if isinstance(value, list) else max(value, other[key])
    return joined


def mixed(found: Mapping[str, Any], what: str, share: float) -> list[float]:
    """One number of each turn, where so large a share of the steps has the penalty."""
    plain = found["plain"][what]
    if not share:
        return plain
    penalised = found["penalised"][what]
    return [(1 - share) * a + share * b for a, b in zip(plain, penalised, strict=True)]


def seconds_an_image(found: Mapping[str, Any], share: float) -> list[float]:
    return mixed(found, "seconds an image", share)


def reading_one(found: Mapping[str, Any]) -> float:
    """Core seconds for a picture."""
    return statistics.median(found["reading"])


def images_a_second(found: Mapping[str, Any], share: float = PENALTY_SHARE) -> float:
    return 1 / statistics.median(seconds_an_image(found, share))


def cost(row: Row, found: Mapping[str, Any], share: float, device: str) -> float:
    """Seconds of one core, or of one card, for a thousand images."""
    if device == "cuda":
        return 1000 * row.processes / images_a_second(found, share)
    return 1000 * statistics.median(mixed(found, "core seconds an image", share))


def flop(row: Row, share: float) -> float:
    plain, penalised = flop_per_image(row.width, row.size)
    return (1 - share) * plain + share * penalised


def efficiency(one: float, together: float, processes: int) -> float:
    """What part of so many times the images/s of one process is reached."""
    return together / (processes * one)


# The tables


def tables(values: Values, options: argparse.Namespace) -> dict[str, dict[str, Row]]:
    """Every table's rows by their names; the base is in all of them, and is measured once."""
    width, size, batch = values.base
    precision = options.precision
    base = Row(width, size, batch, precision)
    gpu = options.device == "cuda"
    workers = {f"from the disk, {n} worker{'s' * (n != 1)}": n for n in values.workers}
    kinds = {"32 bits": "no", **({"tf32": "tf32"} if gpu else {}), "bf16": "bf16"}
    where = "card" if gpu else "memory"
    precisions = {name: replace(base, precision=kind, data=where) for name, kind in kinds.items()}
    for name, row in list(precisions.items()):
        precisions[f"{name}, compiled"] = replace(row, compiler=values.compiler)
    if gpu:
        numbers = [n for n in (1, 2, 4, 8) if n <= max(1, torch.cuda.device_count())]
        processes = {f"{n} × 1 card": replace(base, processes=n) for n in numbers}
    else:
        processes = {
            "1 process of 1 thread": base,
            "1 process of 2 threads": replace(base, threads=2),
            "2 processes of 1 thread": replace(base, processes=2),
        }
    batches = values.batches + (MORE_BATCHES if gpu and values is FULL else ())
    return {
        "batch": {str(n): replace(base, batch_size=n) for n in batches},
        "width": {str(n): replace(base, width=n) for n in values.widths},
        "size": {f"{n} px": replace(base, size=n) for n in values.sizes},
        "processes": processes,
        "data": {
            "in memory": base,
            **({"on the card": replace(base, data="card")} if gpu else {}),
            **{name: replace(base, data="disk", workers=n) for name, n in workers.items()},
        },
        "precision": precisions,
    }


TITLES = {
    "batch": ("Batch size", "batch"),
    "width": ("Width of the networks", "width"),
    "size": ("Size of the pictures", "pictures"),
    "processes": ("Processes, each with the base's batch", "processes"),
    "data": ("Where the pictures are", "pictures"),
    "precision": ("Precision and torch.compile, without the penalty", "numbers"),
}


def table(name: str, rows: Mapping[str, Row], found: Mapping[Row, Any], device: str) -> str:
    """One table as Markdown."""
    title, first = TITLES[name]
    share = 0.0 if name == "precision" else PENALTY_SHARE
    gpu = device == "cuda"
    columns: dict[str, Callable[[Row, Any], str]] = {
        "images/s": lambda _, f: number(images_a_second(f, share)),
        "slowest–fastest": lambda _, f: spread(seconds_an_image(f, share)),
    }
    unit = "card" if gpu else "core"
    columns[f"{unit} seconds for 1,000 images"] = lambda r, f: number(cost(r, f, share, device))
    columns["GFLOP an image"] = lambda r, _: number(flop(r, share) / 1e9)
    columns["GFLOP/s"] = lambda r, f: number(flop(r, share) * images_a_second(f, share) / 1e9)
    if gpu:
        card = torch.cuda.get_device_name()
        columns["of the card's peak"] = lambda r, f: part_of(
            flop(r, share) * images_a_second(f, share) / r.processes, peak(card, r.precision)
        )
    columns["peak memory, MB"] = lambda _, f: number(f["memory"] / 1e6)
    columns["of it before the first step"] = lambda _, f: number(f["memory before"] / 1e6)
    if name == "data":
        columns["core ms to read one"] = lambda _, f: number(1000 * reading_one(f))
    if name == "precision":
        columns["images/s with the penalty"] = lambda _, f: (
            number(images_a_second(f)) if "penalised" in f else "impossible"
        )
    lines = [f"### {title}", "", f"| {first} | " + " | ".join(columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    for label, row in rows.items():
        if "error" in found[row]:
            cells = [f"failed: {found[row]['error']}", *[""] * (len(columns) - 1)]
        else:
            cells = [cell(row, found[row]) for cell in columns.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *remarks(name, rows, found)])


def remarks(name: str, rows: Mapping[str, Row], found: Mapping[Row, Any]) -> list[str]:
    """What stands under a table."""
    lines = []
    if name == "processes":
        one, *others = [row for row in rows.values() if row.threads == 1]
        G = dcgan.Generator(width=one.width, image_size=one.size)
        D = dcgan.Discriminator(one.width, image_size=one.size, normalization="none")
        weights = sum(dcgan.count_parameters(net) for net in (G, D))
        lines += [f"In each step the processes average {4 * weights / 1e6:.1f} MB of gradients."]
        for row in others:
            if "error" not in found[row] and "error" not in found[one]:
                speeds = (images_a_second(found[row]), images_a_second(found[one]))
                reached = efficiency(speeds[1], speeds[0], row.processes)
                lines.append(
                    f"{row.processes} processes are {speeds[0] / speeds[1]:.2f} times as fast as "
                    f"one: an efficiency of {percent(reached)}."
                )
    for label, row in rows.items():
        if row.compiler != "no" and "error" not in found[row]:
            first = found[row]["plain"]["first steps"]
            lines.append(f"{label}: the first three steps took {first:.0f} s, compiling.")
    return ["", "  \n".join(lines)] if lines else []


def spread(values: list[float]) -> str:
    """Of seconds an image: the lowest and the highest images/s."""
    return f"{number(1 / max(values))}–{number(1 / min(values))}"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(part: float) -> str:
    return f"{100 * part:.3g} %"


def part_of(value: float, whole: float) -> str:
    return percent(value / whole) if whole else "unknown"


def base_of(plan: Mapping[str, Mapping[str, Row]]) -> Row:
    return plan["data"]["in memory"]


# The program


def describe_machine(device: str) -> str:
    """What it is, and how many others want its cores: with company no table is worth much."""
    load = f"load {os.getloadavg()[0]:.1f} before the first row"
    if device == "cuda":
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}, {load}"
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.processor()}, {load}"


def run(options: argparse.Namespace) -> None:
    """Measure what the tables need, each row once, and print them."""
    values = QUICK if options.quick else FULL
    plan = tables(values, options)
    chosen = {name: plan[name] for name in options.tables}
    rows = list(dict.fromkeys(row for name in chosen for row in chosen[name].values()))
    machine, found = describe_machine(options.device), {}
    turns = rows * options.repeats
    for i, row in enumerate(turns, 1):
        changes = {k: v for k, v in asdict(row).items() if v != getattr(base_of(plan), k)}
        words = ", ".join(f"{key} {value}" for key, value in changes.items()) or "the base"
        print(f"[{i}/{len(turns)}] {words} …", end=" ", file=sys.stderr, flush=True)
        turn = measure_apart(row, options)
        found[row] = both(found[row], turn) if row in found else turn
        share = PENALTY_SHARE if "penalised" in turn else 0.0
        speed = "error" not in turn and images_a_second(turn, share)
        print(f"{speed:.3g} images/s" if speed else turn["error"], file=sys.stderr)
    width, size, batch = values.base
    bits = "32 bits" if options.precision == "no" else options.precision
    threads = "" if options.device == "cuda" else ", 1 thread"
    print(
        f"{machine}, PyTorch {torch.__version__}. The base: width {width}, "
        f"{size} px, batch {batch}, {bits}, 1 process{threads}, pictures in memory."
    )
    for name in chosen:
        print("\n" + table(name, chosen[name], found, options.device))
    if options.json:
        asked = {key: value for key, value in vars(options).items() if key not in ("json", "row")}
        measured = [{"row": asdict(row), "found": found[row]} for row in rows]
        options.json.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic(options.json) as temporary:
            about = {"machine": machine, "torch": torch.__version__}
            temporary.write_text(json.dumps(about | {"asked": asked, "rows": measured}, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--seconds", type=float, help="of a turn (10)")
    parser.add_argument("--repeats", type=int, help="times that all is measured (3)")
    parser.add_argument("--quick", action="store_true", help="see that it runs; measures nothing")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="the GPU, where one is")
    parser.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="of the base; auto: bf16 where the machine multiplies such numbers itself",
    )
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # this program's own way to start itself
    options = parser.parse_args()
    options.seconds = options.seconds or (0.02 if options.quick else 10)
    options.repeats = options.repeats or (2 if options.quick else 3)

    if options.row:
        row = Row(**json.loads(options.row))
        found = measure(row, options.seconds, options.json.parent)
        if found:
            options.json.write_text(json.dumps(found))
        return
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.precision == "auto":
        os.environ["COURSE_DEVICE"] = options.device
        options.precision = training.fast_precision()
    run(options)


if __name__ == "__main__":
    main()
