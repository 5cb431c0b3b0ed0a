"""The table of two painters: its rulers on pictures whose answers are known, and all of it."""

import importlib.util
import sys

import pytest
import torch

from course_lib import faces, metrics
from tools.notebooks import ROOT


@pytest.fixture(scope="module")
def painters():
    spec = importlib.util.spec_from_file_location("painters", ROOT / "benchmarks" / "painters.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["painters"] = module
    spec.loader.exec_module(module)
    return module


def test_flat_patches_are_counted(painters):
    half = torch.full((2, 3, 64, 64), 0.5)
    assert painters.flat_share(half) == 1
    half[:, :, :, 32:] = -0.5  # the two columns of patches that hold the border are not flat
    assert painters.flat_share(half) == pytest.approx(60 / 62)
    assert painters.flat_share(torch.rand(2, 3, 64, 64) * 2 - 1) < 0.01


def test_a_border_is_all_lines_and_noise_is_between_them_too(painters):
    border = torch.full((2, 3, 64, 64), 0.5)
    border[:, :, :, 32:] = -0.5
    lines, between = painters.lines_and_between(border)
    # The blur mixes a third: two of 62 columns are off by a third of 127.5 levels.
    assert lines == pytest.approx(127.5 / 3 * (2 * 62) / (62 * 62 // 10))
    assert between == 0
    drawn = faces.load("held-out")[:64]
    strong, weak = painters.lines_and_between(drawn.tensor())
    blurred = painters.lines_and_between(metrics.spoil(drawn, "blur", 1.0, 64, 0))
    noisy = painters.lines_and_between(drawn.tensor() + 0.05 * torch.randn(64, 3, 64, 64))
    assert blurred[0] < 0.8 * strong
    assert noisy[1] > 2 * weak


def test_drawn_faces_have_two_eyes_of_one_colour(painters):
    odd, both = painters.odd_eyes(faces.load("held-out")[:64].tensor())
    assert odd == 0
    assert both > 30


@pytest.mark.slow
def test_the_table_and_its_figure(painters, tmp_path, capsys):
    painters.main(["--figures", str(tmp_path)])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| faces-dcgan",
        "| faces-styled",
        "| *drawings, held out*",
    ]
    assert (tmp_path / "painters.png").stat().st_size > 10_000
