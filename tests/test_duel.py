"""Lesson 5's playground: a GAN and a diffusion model side by side."""

import io

import numpy as np
import pytest
from PIL import Image

from course_lib import latent_diffusion as ld
from course_lib import widgets
from course_lib.widgets.playground import OWN


@pytest.fixture
def duel():
    return widgets.Duel(ld.PlaneFlow, "ring", still_rounds=10)


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), dtype=int)


def test_both_learn_equally_long(duel):
    before = duel.picture.value
    for _ in range(3):
        duel.play.value += 1
    assert duel.error.value == ""
    assert duel.gan.rounds == len(duel.flow.losses) == 18
    assert duel.picture.value != before
    assert "GAN" in duel.status.value


def test_the_time_moves_the_right_half_alone(duel):
    duel.time.value = 0.0
    end = pixels(duel.picture.value)
    duel.time.value = 1.0
    noise = pixels(duel.picture.value)
    half = end.shape[1] // 2
    assert abs(end - noise)[:, half + 20 :].mean() > 1
    assert abs(end - noise)[:, : half - 20].mean() < 0.01


def test_own_points_are_learnt_from_then_on(duel):
    duel.target.value = OWN
    assert duel.gan.rounds == 0
    duel.play.value += 1
    before = duel.flow.fixed_real
    duel._board.cells[0].value = True
    assert duel.error.value == ""
    assert not np.array_equal(before, duel.flow.fixed_real)
    assert duel.gan.rounds == len(duel.flow.losses) == 6  # it goes on


def test_starting_again_forgets(duel):
    duel.play.value += 1
    duel.reset.click()
    assert duel.gan.rounds == len(duel.flow.losses) == 0


def test_what_goes_wrong_is_told(duel, monkeypatch):
    monkeypatch.setattr(duel.flow, "step", lambda _: 1 / 0)
    duel.play.value += 1
    assert "division by zero" in duel.error.value
    assert pixels(duel.still()).std() > 5
