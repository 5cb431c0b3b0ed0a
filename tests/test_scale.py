"""benchmarks/scale.py runs, from a row to the tables; what it finds is in benchmarks/README.md."""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from course_lib import dcgan, faces

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("bench_scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def measure_here(scale, tmp_path, monkeypatch):
    """Measures a row without a process of its own; what has two processes is not measured."""
    threads = torch.get_num_threads()

    def measure(row, options):
        if row.processes > 1:
            return {"error": "not here"}
        with patch.dict(os.environ, scale.environment(row, "cpu", tmp_path)):
            return scale.measure(row, options.seconds, tmp_path)

    monkeypatch.setattr(scale, "measure_apart", measure)
    yield measure
    torch.set_num_threads(threads)


def main(scale, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["scale.py", "--quick", "--device", "cpu", *words])
    scale.main()


def rows_of(printed, title):
    """Label → cells, of one printed table."""
    part = printed.split(f"### {title}\n")[1].split("\n###")[0]
    lines = [re.split(r" ?\| ?", line)[1:-1] for line in part.splitlines() if line[:1] == "|"]
    return {label: cells for label, *cells in lines[2:]}


def value(cell):
    return float(cell.replace(",", ""))


@pytest.mark.usefixtures("measure_here")
def test_every_table_is_printed_with_numbers(scale, monkeypatch, capsys, tmp_path):
    main(scale, monkeypatch, "--precision", "no", "--json", str(tmp_path / "new" / "raw.json"))
    printed = capsys.readouterr().out
    found = {name: rows_of(printed, title) for name, (title, _) in scale.TITLES.items()}
    assert {name: list(rows) for name, rows in found.items()} == {
        "batch": ["4", "8"],
        "width": ["4", "8"],
        "size": ["32 px", "64 px"],
        "processes": ["1 process of 1 thread", "1 process of 2 threads", "2 processes of 1 thread"],
        "data": ["in memory", "from the disk, 0 workers", "from the disk, 1 worker"],
        "precision": ["32 bits", "bf16", "32 bits, compiled", "bf16, compiled"],
    }
    base = found["batch"]["4"]
    *in_memory, _ = found["data"]["in memory"]  # and how long it takes to read one
    assert base == found["width"]["4"] == found["size"]["32 px"] == in_memory
    for name, rows in found.items():
        for label, (speed, turns, *numbers) in rows.items():
            if label == "2 processes of 1 thread":
                assert speed == "failed: not here"
                continue
            slowest, fastest = map(value, turns.split("–"))
            assert 0 < slowest <= value(speed) <= fastest
            if "compiled" in label:
                assert numbers.pop() == "impossible"
            more = name == "data" or (name == "precision" and "compiled" not in label)
            assert len(numbers) == 5 + more
            assert all(value(cell) > 0 for cell in numbers)

    raw = json.loads((tmp_path / "new" / "raw.json").read_text())
    assert len(raw["rows"]) == 11
    first = raw["rows"][0]["found"]
    turns = zip(*(first[kind]["seconds an image"] for kind in ("plain", "penalised")), strict=True)
    seconds = [(15 * plain + penalised) / 16 for plain, penalised in turns]
    assert len(seconds) == 2
    assert value(base[0]) == pytest.approx(1 / np.median(seconds), rel=0.01)


def test_two_processes_and_a_failure_in_processes_of_their_own(scale, tmp_path):
    options = argparse.Namespace(device="cpu", seconds=0.02)
    small = scale.Row(4, 32, 4, "bf16")
    found = scale.measure_apart(replace(small, processes=2), options)
    assert found["plain"]["steps"] > 0
    assert 0 < found["memory before"] <= found["memory"]
    assert scale.images_a_second(found) > 0
    assert scale.measure_apart(replace(small, size=33), options) == {
        "error": "course_lib.errors.CourseError: image_size 33 is not possible; "
        "choose one of 32, 64, 128"
    }


def test_what_is_measured_is_the_training_of_dcgan(scale, measure_here, monkeypatch):
    """The same losses as `dcgan.train` alone has, and the penalty only where it is asked for."""
    seen, penalties = [], []
    fit, penalty = scale.training.Training.fit, dcgan.gradient_penalty

    def noting_fit(*words, **options):
        penalties.append(0)
        seen.append(fit(*words, **options))
        return seen[-1]

    def noting_penalty(*words):
        penalties[-1] += 1
        return penalty(*words)

    monkeypatch.setattr(scale.training.Training, "fit", noting_fit)
    monkeypatch.setattr(dcgan.step, "gradient_penalty", noting_penalty)
    row = scale.Row(4, 32, 4, "no")
    measure_here(row, argparse.Namespace(device="cpu", seconds=1e-6))
    steps = 1 + scale.BLOCKS
    assert [history.steps for history in seen] == [3, 3, steps] * 2
    assert penalties == [0, 0, 0, 3, 3, steps]

    noise = np.random.default_rng(0).integers(0, 256, (scale.PICTURES, 32, 32, 3), dtype=np.uint8)
    recipe = replace(dcgan.R1, batch_size=4, penalty=0.0)
    options = {"width": 4, "image_size": 32, "precision": "no", "progress": False}
    alone = dcgan.train(faces.Faces(noise), recipe, images=12, **options).history
    assert seen[0].losses == alone.losses


def test_flop_are_those_of_a_count_by_hand(scale):
    width, size = 4, 32
    # two for a multiply-add, 4 × 4 weights for each pair of maps, at every place of the smaller map
    of_D = [2 * 16 * a * b * side**2 for a, b, side in ((3, 4, 16), (4, 8, 8), (8, 16, 4))]
    of_D += [2 * 16 * 16]
    of_G = [2 * 16 * 100 * 16] + [
        2 * 16 * a * b * side**2 for a, b, side in ((16, 8, 4), (8, 4, 8), (4, 3, 16))
    ]
    G, D = sum(of_G), sum(of_D)
    # Forward, and backward to the weights and to what came in, but not to noise and pictures.
    # D sees a real one and a fake. In G's turn it has no gradients of weights, but of its picture.
    step = (3 * G - of_G[0]) + 2 * (3 * D - of_D[0]) + 2 * D
    # The penalty: D forward, to the picture, and back through both. LeakyReLU is not curved, so the
    # way back through the forward pass multiplies zeros; only the last layer is spared it.
    penalty = 6 * D - 2 * of_D[-1]
    assert scale.flop_per_image(width, size) == (step, step + penalty)
    row = scale.Row(width, size, 4, "no")
    assert scale.flop(row, 1 / 16) == step + penalty / 16


def test_speed_and_cost_put_steps_with_and_without_the_penalty_together(scale):
    found = {
        "plain": {"seconds an image": [0.1, 0.2, 0.3], "core seconds an image": [0.2]},
        "penalised": {"seconds an image": [0.3, 0.4, 0.5], "core seconds an image": [1.0]},
    }
    assert scale.images_a_second(found, share=0) == pytest.approx(5)
    assert scale.images_a_second(found, share=0.5) == pytest.approx(1 / 0.3)
    row = scale.Row(4, 32, 4, "no", processes=2)
    assert scale.cost(row, found, 0.25, "cpu") == pytest.approx(1000 * (0.75 * 0.2 + 0.25 * 1))
    assert scale.cost(row, found, 0, "cuda") == pytest.approx(1000 * 2 / 5)


def test_the_program_measures_a_row_that_it_is_given(scale, tmp_path):
    words = ["--row", json.dumps(asdict(scale.Row(4, 32, 4, "no"))), "--seconds", "0.01"]
    words += ["--json", str(tmp_path / "found.json")]
    environment = os.environ | {"COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(SCRIPT), *words], env=environment, check=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["plain"]["seconds an image"]) == 1


def test_turns_of_a_row_are_put_together(scale):
    one = {"plain": {"seconds an image": [1.0], "steps": 5}, "memory": 7}
    other = {"plain": {"seconds an image": [3.0], "steps": 6}, "memory": 4}
    assert scale.both(one, other) == {
        "plain": {"seconds an image": [1.0, 3.0], "steps": 6},
        "memory": 7,
    }
    assert scale.both({"error": "a"}, other) == scale.both(one, {"error": "a"}) == {"error": "a"}


def test_pictures_on_the_card_are_those_in_memory(scale, few_faces):
    card = scale.OnCard(few_faces.images, torch.device("cpu"))
    batch = card.tensor(np.array([3, 5]))
    assert len(card) == len(few_faces)
    assert batch.shape == (2, 3, 32, 32)
    assert torch.equal(batch, few_faces.tensor([3, 5]))
    assert batch.stride() == few_faces.tensor([3, 5]).stride()


def test_a_gpu_has_rows_of_its_own_and_a_known_peak_or_none(scale, measure_here, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100-SXM4-80GB")
    plan = scale.tables(scale.FULL, argparse.Namespace(device="cuda", precision="bf16"))
    assert list(plan["processes"]) == ["1 × 1 card", "2 × 1 card"]
    assert list(plan["batch"])[-1] == "1024"
    assert "tf32, compiled" in plan["precision"]
    assert {row.data for row in plan["precision"].values()} == {"card"}

    row = scale.Row(4, 32, 4, "bf16", data="card")
    found = measure_here(row, argparse.Namespace(seconds=0.02))
    rows = {"on the card": row, "no tf32": replace(row, precision="tf32")}
    monkeypatch.setitem(scale.PEAKS, "NVIDIA A100-SXM4-80GB", (1.0, 0.0, 1e-12 * 1000))
    printed = scale.table("data", rows, dict.fromkeys(rows.values(), found), "cuda")
    assert "card seconds for 1,000 images" in printed
    cells = rows_of(printed, scale.TITLES["data"][0])
    share = scale.flop(row, scale.PENALTY_SHARE) * scale.images_a_second(found) / 1000
    assert cells["on the card"][5] == scale.percent(share)
    assert cells["no tf32"][5] == "unknown"
    assert scale.peak("a card of tomorrow", "bf16") == 0
