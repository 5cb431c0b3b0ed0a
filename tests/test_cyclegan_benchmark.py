"""benchmarks/cyclegan.py runs, from the training to the table."""

import functools
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from course_lib import cyclegan, faces, pretrained

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent / "benchmarks/cyclegan.py"
PRESETS = ["aqua-purple", "aqua-purple-paired", "black-blonde"]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    threads = torch.get_num_threads()
    spec = importlib.util.spec_from_file_location("bench_cyclegan", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(cyclegan.learning, "PAIRS", 16)
    yield module
    torch.set_num_threads(threads)


def main(monkeypatch, module, *given) -> None:
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, given)])
    module.main()


def test_from_the_training_to_the_table(bench, tmp_path, monkeypatch, capsys):
    whole = faces.load("train")[:600]
    monkeypatch.setattr(bench.faces, "load", lambda _: whole)
    given = ["--run", tmp_path / "run", "--seeds", 0, 1, "--presets", *PRESETS]
    main(monkeypatch, bench, "train", *given, "--images", 8)
    assert capsys.readouterr().out.count(": 8 in ") == 6
    main(monkeypatch, bench, "train", *given, "--images", 8)
    assert not capsys.readouterr().out  # what is done is not done again
    main(monkeypatch, bench, "table", *given, "--pairs", 8)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    rows = {row[0].strip("| "): row for row in rows}
    assert "0.0%" in rows["copying"][1]
    assert rows["aqua-purple"][1] == "2"
    assert len(rows["aqua-purple"]) == 9
    assert "black-blonde, seed 1: the exact one" in rows
    main(monkeypatch, bench, "picture", *given, "--figures", tmp_path)
    assert Image.open(tmp_path / "cyclegan.png").width == 2 * (8 * 66 - 2)

    save, kept = bench.pretrained.save, tmp_path / "weights"
    monkeypatch.setattr(bench.pretrained, "save", functools.partial(save, folder=kept))
    main(monkeypatch, bench, "export", *given)
    names = [cyclegan.PRESETS[one].weights for one in PRESETS]
    assert pretrained.names(kept) == sorted(names)
    both = pretrained.load(names[0], cyclegan.Translators, kept)
    assert torch.allclose(
        both.there.change.weight,
        bench.trained(bench_options(tmp_path), PRESETS[0], 0).there.change.weight,
        atol=1e-3,
    )


def bench_options(tmp_path):
    from types import SimpleNamespace

    return SimpleNamespace(run=tmp_path / "run")
