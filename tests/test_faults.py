"""faults: the ladder spoils faces as it says, and says what it cannot spoil."""

import numpy as np
import pytest
import torch

from course_lib import faces, faults
from course_lib.errors import CourseError
from course_lib.faults import LADDER


@pytest.fixture(scope="module")
def train():
    return faces.load("train")


@pytest.mark.parametrize("fault", LADDER)
def test_spoilt_pictures_are_pictures_and_repeatable(train, fault):
    strength = LADDER[fault].strengths[1]
    images = faults.spoil(train, fault, strength, n=8, seed=3)
    assert images.shape == (8, 3, 64, 64)
    assert images.abs().max() <= 1
    assert torch.equal(images, faults.spoil(train, fault, strength, n=8, seed=3))


def test_patches_go_back_together():
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(faults._together(faults._patches(images, 4)), images)


def test_what_cannot_be_spoilt():
    pixels = faces.Faces(np.zeros((20, 64, 64, 3), np.uint8))
    with pytest.raises(CourseError, match="unknown fault"):
        faults.spoil(pixels, "rain", 1)
    with pytest.raises(CourseError, match="cannot be chosen"):
        faults.spoil(pixels, "noise", 1)
    with pytest.raises(CourseError, match="attributes"):
        faults.spoil(pixels, "missing", 0.5, n=5)
