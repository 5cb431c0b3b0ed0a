"""Kill a training again and again; does it end where an undisturbed one ends?

    python tests/training/kill_training.py --times 20

`course train dcgan` is killed (SIGKILL: nothing can be tidied up) at random moments: while it
starts, in a step, while it writes. Each time the same command goes on. At the end every number of
the last checkpoint, losses, weights, averages, moments and random numbers, must be equal to those
of a training that nobody disturbed. tests/training/test_kill.py does it a few times.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from course_lib import faces, training

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COURSE_DEVICE": "cpu"}


def command(out: Path, steps: int) -> list[str]:
    """A checkpoint every third step, so that every kill costs some; few faces, read in no time."""
    words = "-m course_lib.cli train dcgan --preset quick --width 8 --batch-size 16 --save-every 3"
    more = ["--images", str(16 * steps), "--pictures-every", "50", "--out", str(out)]
    more += ["--data", str(out.parent / "faces.parquet")]
    return [sys.executable, *words.split(), *more]


def newest(out: Path) -> int:
    return max(training.Checkpoints(out).steps(), default=0)


def start(out: Path, steps: int) -> subprocess.Popen:
    return subprocess.Popen(
        command(out, steps),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_once(out: Path, steps: int, left: int, chance: random.Random) -> str:
    """Start or go on, kill at a random moment, and say in a line what happened."""
    before = newest(out)
    process, started = start(out, steps), time.monotonic()
    moment = chance.choices(("starting", "running", "writing"), (2, 5, 3))[0]
    wanted, delay = 0, chance.uniform(0, 4)
    if moment != "starting":  # on average so far that the kills spread over the whole training
        wanted = before + 1 + int(chance.random() * 2 * (steps - before) / (left + 1))
        delay = chance.uniform(0, 0.15) if moment == "running" else 0.0
    while process.poll() is None and newest(out) < wanted:
        time.sleep(0.005)
    while moment == "writing" and process.poll() is None and not any(out.glob(".step-*")):
        pass  # a file is half written for a few milliseconds only
    until = time.monotonic() + delay
    while time.monotonic() < until and not (moment == "starting" and newest(out) > before):
        time.sleep(0.005)  # a fast machine must not end before it is killed
    process.kill()
    said, _ = process.communicate()
    seconds = time.monotonic() - started
    if process.returncode != -9:
        raise SystemExit(f"it ended by itself, with {process.returncode}:\n{said}")
    found = re.search(r"going on after step ([\d,]+)", said)
    torn = sum(1 for _ in out.glob(".step-*"))
    begun = f"went on after {found[1]}" if found else "from the start" if said else "while starting"
    return f"{seconds:6.1f} s  {begun:22}  {newest(out):6}  {torn:12}"


def compare(one: Path, other: Path, steps: int) -> tuple[int, int]:
    """How many tensors the two last checkpoints have, and how many of them differ."""
    name = f"{training.Checkpoints.name(steps)}.safetensors"
    a, b = load_file(one / name), load_file(other / name)
    if a.keys() != b.keys():
        raise SystemExit(f"different tensors: {sorted(a.keys() ^ b.keys())}")
    return len(a), sum(not torch.equal(a[key], b[key]) for key in a)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(words)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder, "killed"), Path(folder, "whole")
        faces.load("train")[:320].save(Path(folder, "faces.parquet"))
        print("kill  after     it                      newest  half written", flush=True)
        for i in range(options.times):
            line = kill_once(killed, options.steps, options.times - i, chance)
            print(f"{i + 1:4} {line}", flush=True)
        for out in (killed, whole):
            process = start(out, options.steps)
            said, _ = process.communicate()
            if process.returncode:
                raise SystemExit(said)
        tensors, different = compare(killed, whole, options.steps)
        losses = load_file(whole / f"{training.Checkpoints.name(options.steps)}.safetensors")
        curve = len(losses["losses/loss_G"])
        pictures = [sorted(p.name for p in (out / "pictures").iterdir()) for out in (killed, whole)]
    verdict = "equal" if not different and curve == options.steps else "NOT EQUAL"
    missing = set(pictures[1]) - set(pictures[0])
    print(
        f"{options.times} kills of {options.times} survived. Curve of {curve} steps for "
        f"{options.steps}; {tensors - different} of {tensors} tensors equal to the undisturbed "
        f"training's; {len(missing)} of {len(pictures[1])} grids missing: {verdict}"
    )
    return int(verdict != "equal" or bool(missing))


if __name__ == "__main__":
    sys.exit(main())
