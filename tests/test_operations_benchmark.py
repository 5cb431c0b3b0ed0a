"""benchmarks/operations.py counts what can be counted by hand, and names every long training."""

import importlib.util
import sys

import pytest
import torch

from tools.notebooks import ROOT


@pytest.fixture(scope="module")
def operations():
    script = ROOT / "benchmarks" / "operations.py"
    spec = importlib.util.spec_from_file_location("bench_operations", script)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_convolution_counts_as_by_hand(operations):
    with operations.Counter() as counter:
        torch.nn.Conv2d(3, 8, 4, stride=2, padding=1, bias=False)(torch.zeros(5, 3, 16, 16))
    assert counter.operations == 2 * 5 * 8 * 8 * 8 * 3 * 4 * 4  # a product and a sum each
    assert counter.calls >= 1


def test_minutes_are_those_of_the_peak_and_of_the_calls(operations):
    work = operations.Work(operations.PEAK * operations.SHARE, 1 / operations.A_CALL) * 120
    assert work.minutes == pytest.approx((2, 2))
    assert (work + work).minutes == pytest.approx((4, 4))


@pytest.mark.slow
def test_every_long_training_stays_within_five_minutes(operations, capsys):
    operations.main()
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()[2:7]] == [f"| {n}" for n in "34867"]
    assert "more than 5 minutes: none" in said
