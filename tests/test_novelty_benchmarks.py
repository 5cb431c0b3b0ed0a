"""benchmarks/halves.py and novelty.py run, from the training to the table."""

import functools
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from course_lib import faces, novelty, pretrained

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(monkeypatch, module, *given) -> None:
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, given)])
    module.main()


def test_halves_from_the_training_to_the_picture(tmp_path, monkeypatch, capsys):
    bench, run = script("halves"), ["--run", tmp_path / "run", "--sizes", 16]
    given = [*run, "--seeds", 0, 1]
    main(monkeypatch, bench, "train", *given, "--looks", 64)
    assert capsys.readouterr().out.count("16-") == 4
    main(monkeypatch, bench, "train", *given, "--looks", 64)
    assert not capsys.readouterr().out  # what is done is not done again
    main(monkeypatch, bench, "table", *given, "--pictures", 4)
    assert "| 16 | 2 | " in capsys.readouterr().out
    main(monkeypatch, bench, "picture", *given, "--figures", tmp_path)
    assert Image.open(tmp_path / "halves.png").size == (8 * 132 - 4, 2 * 132 - 4 + bench.TITLE)

    save, kept = bench.pretrained.save, tmp_path / "weights"
    monkeypatch.setattr(bench.pretrained, "save", functools.partial(save, folder=kept))
    main(monkeypatch, bench, "export", *given, "--looks", 64)
    pair = pretrained.load("halves-16", novelty.Pair, kept)
    trained = load_file(tmp_path / "run/diffusion/16-0-one/painter.safetensors")
    assert torch.allclose(pair.one.conv_in.weight, trained["conv_in.weight"], atol=1e-3)


def test_gans_learn_from_halves_too(tmp_path, monkeypatch, capsys):
    bench = script("halves")
    given = ["--painter", "gan", "--run", tmp_path, "--sizes", 16, "--seeds", 0]
    main(monkeypatch, bench, "train", *given, "--looks", 32)
    main(monkeypatch, bench, "table", *given, "--pictures", 4)
    assert "| 16 | 1 | " in capsys.readouterr().out
    main(monkeypatch, bench, "picture", *given, "--figures", tmp_path)
    assert Image.open(tmp_path / "halves_gan.png").size == (8 * 132 - 4, 2 * 132 - 4 + bench.TITLE)


def test_near_copies_of_each_painter_are_counted(monkeypatch, capsys):
    bench = script("novelty")
    render = faces.render
    monkeypatch.setattr(bench, "TOLD", 128)
    monkeypatch.setattr(bench.faces, "render", lambda n, seed: render(n, seed, cache=False))
    unseen = faces.load("held-out")
    whole = {"train": faces.load("train")[:128], "held-out": unseen}
    monkeypatch.setattr(bench.faces, "load", whole.__getitem__)
    main(monkeypatch, bench, "--number", 33, "--told", 4)
    first, leaning, by_heart, second = capsys.readouterr().out.split("\n\n")
    assert [line.count("%") for line in leaning.splitlines()[2:]] == [3] * 4
    assert [line.count("%") for line in by_heart.splitlines()[2:]] == [3] * 2
    one, other = whole["train"][:64], whole["train"][64:]
    assert all(cell.startswith("100.0%") for cell in bench.leans(one.tensor(), one, other))
    assert all(cell.startswith("0.0%") for cell in bench.leans(other.tensor(), one, other))
    rows = [line for line in first.splitlines() if "(" in line]
    assert len(rows) == 4 * len(novelty.SPACES)
    for row in rows:
        copied = float(row.split("|")[-2].split("%")[0])
        assert copied >= 90, row
    assert [line.count("%") for line in second.splitlines()[2:]] == [0, 1, 3, 3, 1]


def test_who_has_pictures_by_heart_is_found_by_their_captions():
    bench = script("novelty")
    own, fresh = faces.load("train")[:24], faces.load("train")[24:48]
    honest = faces.load("train")[48:72].tensor()
    answers = iter([own.tensor(), honest, honest, honest])  # what it paints of either captions
    by_heart = bench.own_captions(lambda prompts, seed: next(answers), own, fresh)
    assert all(cell.startswith("100.0%") for cell in by_heart)
    as_told = bench.own_captions(lambda prompts, seed: next(answers), own, fresh)
    assert all(20 < float(cell.split("%")[0]) < 80 for cell in as_told)
