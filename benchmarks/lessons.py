"""How long each lesson takes to run, alone and beside a process that keeps every core busy.

    python benchmarks/lessons.py                                       # every lesson
    python benchmarks/lessons.py notebooks/01_gan_intuition.ipynb --repeats 3
    python benchmarks/lessons.py --no-busy                             # alone only

A student's machine is seldom idle, and two programs with as many threads as there are cores can
slow each other down far more than twofold. A lesson should bear it: at most three times as long.

A lesson runs from its first cell to its last in a fresh kernel, which counts, on the CPU and with
the quick budget. The notebooks are only read. With `--repeats` the two ways take turns, and the
table has medians with the fastest and the slowest.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median

import nbclient
import nbformat
import torch
from torch import nn

LESSONS = Path(__file__).resolve().parent.parent / "notebooks"
STUDENT = {"COURSE_DEVICE": "cpu", "COURSE_BUDGET": "quick"}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # nobody sets them who only opens a lesson
LIMIT = 3  # times as long, beside a busy process
HEAD = ("lesson", "alone, s", "beside a busy process, s", "times as long", f"≤ {LIMIT} ×")


def seconds(path: Path) -> float:
    """How long the lesson runs; its errors are nbclient's."""
    lesson = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        lesson,
        kernel_name="python3",
        timeout=None,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
    )
    started = time.monotonic()
    client.execute(env={k: v for k, v in os.environ.items() if k not in THREADS} | STUDENT)
    return time.monotonic() - started


@contextmanager
def busy() -> Iterator[subprocess.Popen]:
    """A process that trains on every core, from its first step on; ended afterwards."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--train-beside", str(os.getpid())],
        env=os.environ | dict.fromkeys(THREADS, str(os.cpu_count())),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if not child.stdout.readline():
            raise SystemExit("the busy process did not start; its error stands above")
        yield child
    finally:
        child.kill()  # it has nothing to save
        child.wait()
        child.stdout.close()


def train_beside(parent: int) -> None:
    """What the busy process does, until it is ended or the one that started it is gone."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1)),
        *(nn.LeakyReLU(0.2), nn.Conv2d(128, 256, 4, 2, 1), nn.LeakyReLU(0.2)),
    )
    optimiser = torch.optim.Adam(network.parameters())
    images = torch.randn(64, 3, 64, 64)
    for step in count():
        if os.getppid() != parent:
            return
        optimiser.zero_grad()
        network(images).square().mean().backward()
        optimiser.step()
        if step == 0:
            print("busy", flush=True)


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def row(name: str, alone: Sequence[float], beside: Sequence[float]) -> str:
    """A lesson's line of the table; without `beside` only the first two columns."""
    cells = [name, spread(alone)]
    if beside:
        times = median(beside) / median(alone)
        cells += [spread(beside), f"{times:.2f}", "yes" if times <= LIMIT else "**no**"]
    return line(cells)


def spread(values: Sequence[float]) -> str:
    """The median; of several, with the fastest and the slowest."""
    middle = f"{median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f}–{max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--repeats", type=int, default=1, help="default: 1")
    parser.add_argument("--no-busy", action="store_true", help="only alone")
    parser.add_argument("--train-beside", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train_beside:
        train_beside(given.train_beside)
        return
    if given.repeats < 1:
        parser.error(f"--repeats is 1 or more, not {given.repeats}")

    head = HEAD[:2] if given.no_busy else HEAD
    print(line(head), line(["---"] * len(head)), sep="\n", flush=True)
    for path in given.lessons or sorted(LESSONS.glob("*.ipynb")):
        alone, beside = [], []
        for _ in range(given.repeats):
            alone.append(seconds(path))
            if not given.no_busy:
                with busy():
                    beside.append(seconds(path))
        print(row(path.stem, alone, beside), flush=True)


if __name__ == "__main__":
    main()
