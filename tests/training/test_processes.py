"""One process or two: the same training; and what users of torchrun and accelerate expect."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from course_lib import dcgan, faces, pretrained, training

pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
TORCHRUN += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]  # any free port
TRAIN = ["-m", "course_lib.cli", "train", "dcgan", "--preset", "quick", "--width", "4"]
SCRIPT = Path(__file__).parent / "two_processes.py"
RTOL, ATOL = 1e-3, 2e-5  # of weights, after six steps
ENVIRONMENT = os.environ | {"COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> list[str]:
    """The option of the command for a few faces, which are read in no time."""
    path = tmp_path_factory.mktemp("few") / "faces.parquet"
    faces.load("held-out")[:128].save(path)
    return ["--data", str(path)]


def run(*words, **more) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        env=ENVIRONMENT | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """name → tensors by rank, of what two_processes.py did."""
    folder = tmp_path_factory.mktemp("two")
    run(*TORCHRUN, SCRIPT, folder, "two")
    run(sys.executable, SCRIPT, folder, "one")
    found = {"refused": {rank: folder / f"refused-{rank}.txt" for rank in (0, 1)}}
    for path in folder.glob("*-?"):
        name, rank = path.name.split("-")
        found.setdefault(name, {})[int(rank)] = load_file(path)
    return found


def test_first_steps_of_two_processes_are_those_of_one_with_the_doubled_batch(results):
    one, two = results["one"][0], results["two"][0]
    losses = [key for key in one if key.startswith("loss")]
    assert len(losses) == 5
    for key in losses:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5)
    for key in weights(one):
        torch.testing.assert_close(two[key], one[key], rtol=RTOL, atol=ATOL, msg=key)
    assert len(weights(one)) == 16


def weights(found: dict) -> list[str]:
    return [key for key in found if key.startswith(("G ", "D ", "average "))]


def test_one_process_without_the_other_is_somewhere_else(results):
    """Without averaged gradients the test before this one would fail, by far."""
    two, half = results["two"][0], results["half"][0]
    away = [((two[k] - half[k]).abs() - RTOL * half[k].abs()).max() for k in weights(two)]
    assert min(away) > 20 * ATOL


def test_processes_that_see_different_checkpoints_do_not_train(results):
    for path in results["refused"].values():
        assert "do not find the same checkpoint" in path.read_text()


def test_each_process_has_its_own_random_numbers(results):
    assert not torch.equal(*(results["two"][rank]["noise"] for rank in (0, 1)))


def test_both_processes_end_with_the_same_networks_and_history(results):
    for name in ("two", "whole", "resumed"):
        main, other = results[name][0], results[name][1]
        for key in main.keys() - {"noise"}:
            assert torch.equal(main[key], other[key]), f"{name}: {key}"


def test_two_processes_resume_exactly(results):
    whole, resumed = results["whole"][0], results["resumed"][0]
    assert len(whole["loss loss_G"]) == 6
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key


def test_torchrun_spreads_the_command_and_one_process_can_go_on(tmp_path, few):
    out = tmp_path / "run"
    said = run(*TORCHRUN, *TRAIN, *few, "--images", 640, "--batch-size", 16, "--out", out)
    assert "2 × 16 = 32 of them a step: 20 steps" in said
    assert said.count("generator ") == 1  # the main process speaks
    generator = pretrained.load("generator", dcgan.Generator, out)
    assert generator(torch.randn(1, 100)).shape == (1, 3, 64, 64)
    said = run(
        sys.executable, *TRAIN, *few, "--images", 960, "--batch-size", 32, "--out", out,
    )  # fmt: skip
    assert "going on after step 20" in said
    assert "960 pictures" in said
    assert training.Checkpoints(out).steps() == [20, 30]


def test_accelerate_config_default_and_launch(tmp_path, few):
    home = {"HF_HOME": str(tmp_path / "hf"), "COURSE_DEVICE": ""}
    accelerate = [sys.executable, "-m", "accelerate.commands.accelerate_cli"]
    run(*accelerate, "config", "default", "--mixed_precision", "bf16", **home)
    words = [*accelerate, "launch", *TRAIN, *few, "--images", 64, "--out", tmp_path / "run"]
    said = run(*words, CUDA_VISIBLE_DEVICES="", **home)
    assert "1 × 32 = 32 of them a step" in said
    assert "on cpu (bf16)" in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to wait for")
def test_two_processes_are_stopped_in_order(tmp_path, few):
    out = tmp_path / "run"
    words = [*TORCHRUN, *TRAIN, *few, "--images", 10**7, "--save-every", 10, "--out", out]
    process = subprocess.Popen(
        [str(word) for word in words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("step-*.json")):
        assert time.monotonic() < deadline, process.communicate()[0]
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to its whole group
    said, _ = process.communicate(timeout=60)
    (stopped,) = re.findall(r"Stopped after step (\d+) of", said)
    assert training.Checkpoints(out).steps()[-1] == int(stopped)
