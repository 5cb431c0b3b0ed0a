"""Many students on one machine: so many kernels at once, on one copy of the data and one cache.

    python benchmarks/kernels.py --kernels 30

Every kernel imports what lesson 3 imports, reads the bundled faces, draws 200 new ones (which all
of them want at the same time, and one shared cache keeps), loads the painter and paints 16 faces.
The cache begins empty. Printed are seconds, memory, and whether all saw the same data.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_client import KernelManager

STUDENT = """
import hashlib, json, os, time
import torch
from course_lib import dcgan, faces, judge, metrics, plots, pretrained, toy, training, widgets

began = time.perf_counter()
known = faces.load("train")
drawn = faces.render(200, seed=77)
painter, _ = dcgan.load_or_train("pretrained")
painted = dcgan.paint(painter, torch.randn(16, 100, generator=torch.Generator().manual_seed(0)))
seen = [hashlib.sha256(some.images.tobytes()).hexdigest() for some in (known, drawn)]
seen.append(hashlib.sha256((painted * 127.5).round().numpy().tobytes()).hexdigest())
memory = dict(line.split(":") for line in open("/proc/self/smaps_rollup").readlines()[1:])
size = {name: int(memory[name].split()[0]) / 2**20 for name in ("Rss", "Pss")}
print(json.dumps({"seen": seen, "seconds": time.perf_counter() - began, **size}))
"""


def student(home: Path) -> dict:
    """Start a kernel, let it work, keep it alive; what it printed, and its error if it had one.

    home: the student's own, for IPython's history, as students have who share a machine. The
    kernel is reached by Unix sockets: of thirty that look for free ports at once, two may take one.
    """
    began = time.perf_counter()
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(home))
    manager.start_kernel(env=os.environ | {"IPYTHONDIR": str(home)})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=600)
    said: list[str] = []
    failed: list[str] = []

    def hear(message: dict) -> None:
        content = message["content"]
        if message["msg_type"] == "stream" and content["name"] == "stdout":
            said.append(content["text"])
        elif message["msg_type"] == "error":
            failed.append(f"{content['ename']}: {content['evalue']}")

    client.execute_interactive(STUDENT, timeout=1800, output_hook=hear)
    return {
        "manager": manager,
        "client": client,
        "said": "".join(said),
        "failed": "".join(failed),
        "all": time.perf_counter() - began,
    }


def last_line(said: str) -> dict:
    """What the student's last `print` says; before it the course may say that it waits or draws."""
    return json.loads(said.strip().splitlines()[-1])


def tell(found: list[dict]) -> int:
    """Print what happened; 1 if a kernel failed or saw other data."""
    failed = [one["failed"] or "said nothing" for one in found if not one["said"]]
    rows = [last_line(one["said"]) | {"all": one["all"]} for one in found if one["said"]]
    same = len({tuple(row["seen"]) for row in rows}) == 1
    print(f"{len(found)} kernels, {os.cpu_count()} cores: {len(failed)} failed, ", end="")
    print("all saw the same faces and painted the same" if same else "they saw DIFFERENT data")
    for text in failed:
        print(f"  {text}")
    if rows:
        print("\n| | median | lowest | highest |\n|---|---|---|---|")
        names = {
            "all": "from the start of the kernel, s",
            "seconds": "of it at work, s",
            "Rss": "memory with what is shared, GiB",
            "Pss": "memory, a fair share of what is shared, GiB",
        }
        for name, words in names.items():
            values = [row[name] for row in rows]
            middle, low, high = statistics.median(values), min(values), max(values)
            print(f"| {words} | {middle:.2f} | {low:.2f} | {high:.2f} |")
    return int(bool(failed) or not same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"COURSE_CACHE": cache, "OMP_NUM_THREADS": "1", "COURSE_DEVICE": "cpu"}
        with ThreadPoolExecutor(options.kernels) as pool:
            homes = [Path(cache) / f"student-{i}" for i in range(options.kernels)]
            found = list(pool.map(student, homes))
        for one in found:
            one["client"].stop_channels()
            one["manager"].shutdown_kernel(now=True)
        sys.exit(tell(found))


if __name__ == "__main__":
    main()
