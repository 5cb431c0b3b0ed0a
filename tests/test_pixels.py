"""Pictures there and back, and networks left as they were."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_lib.pixels import (
    animated_png,
    cut_grid,
    evaluating,
    image_grid,
    in_few_colours,
    to_float,
    to_uint8,
)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)


def test_bytes_to_floats_and_back(images):
    floats = to_float(images)
    assert floats.shape == (12, 3, 4, 4)
    assert floats.aminmax() == (floats.min(), floats.max())
    assert floats.abs().max() <= 1
    assert np.array_equal(to_uint8(floats), images)


@pytest.mark.parametrize("columns", [1, 4, 12])
def test_grid_and_back(images, columns):
    grid = image_grid(images, columns, gap=0)
    assert grid.shape == (48 // columns, 4 * columns, 3)
    assert np.array_equal(cut_grid(grid, 4), images)


def test_a_row_that_is_not_full_ends_in_white(images):
    grid = image_grid(images, columns=8, gap=0)
    cut = cut_grid(grid, 4)
    assert np.array_equal(cut[:12], images)
    assert (cut[12:] == 255).all()


def test_evaluating_puts_every_mode_back_also_after_an_error():
    network = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.BatchNorm1d(1)))
    network[0].eval()  # a mode of its own, which `network.train()` would lose
    seen = []

    def fail():
        with evaluating(network):
            seen.extend(module.training for module in network.modules())
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert seen == [False] * 4
    assert [module.training for module in network.modules()] == [True, False, True, True]


def test_what_is_no_picture_is_told():
    with pytest.raises(ValueError, match=r"cannot show images of shape \(2, 5, 4, 4\)"):
        to_uint8(torch.zeros(2, 5, 4, 4))


def test_few_colours_keep_the_rare_ones():
    """A green eye of 4 × 4 pixels in a field of a thousand shades of orange."""
    shades = np.random.default_rng(0).integers(0, 60, (128, 128, 3))
    field = (np.array([220, 120, 20]) - shades).clip(0, 255).astype(np.uint8)
    field[60:64, 60:64] = (40, 180, 80)
    few = in_few_colours(Image.fromarray(field))
    assert few.getcolors(256)
    eye = np.asarray(few.convert("RGB"))[60:64, 60:64].reshape(-1, 3)
    assert np.abs(eye - np.array([40.0, 180, 80])).max() < 20


def test_animated_png_is_a_png_that_moves():
    frames = [np.full((8, 12, 3), (shade, 0, 255 - shade), np.uint8) for shade in (0, 100, 200)]
    with Image.open(io.BytesIO(animated_png(frames, seconds=0.5, first=2))) as movie:
        assert (movie.format, movie.n_frames, movie.size) == ("PNG", 3, (12, 8))
        assert movie.info["loop"] == 0
        times, colours = [], []
        for i in range(3):
            movie.seek(i)
            times.append(movie.info["duration"])
            colours.append(np.asarray(movie.convert("RGB"))[4, 6].tolist())
    assert times == [2000, 500, 500]
    assert np.allclose(colours, [(0, 0, 255), (100, 0, 155), (200, 0, 55)], atol=8)
