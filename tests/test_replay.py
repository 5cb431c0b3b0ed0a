"""A game as a picture that moves: what it shows, and that it stays small."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageSequence

from course_lib import toy
from course_lib.errors import CourseError
from course_lib.plots import FAKE, REAL
from course_lib.widgets import replay


@pytest.fixture(scope="module")
def film() -> list[np.ndarray]:
    game, scenes, rounds = toy.ToyGAN("ring"), [], [0, 20, 40]
    for at in rounds:
        scenes.append(game.step(at - game.rounds).scene())
    picture = Image.open(io.BytesIO(replay(scenes, rounds).data))
    frames = ImageSequence.Iterator(picture)
    return [np.asarray(frame.convert("RGB"), dtype=int) for frame in frames]


def test_it_moves_and_its_last_moment_stands_first(film):
    assert len(film) == 4
    assert np.array_equal(film[0], film[3])
    assert len({frame.tobytes() for frame in film}) == 3


def test_points_keep_their_colours(film):
    for colour in (REAL, FAKE):
        near = np.abs(film[0] - ImageColor.getrgb(colour)).sum(axis=2) < 12
        assert near.sum() > 500, colour


def test_it_is_a_png_in_the_notebook_and_small():
    game = toy.ToyGAN("ring").step(150)
    shown = replay([game.step(4).scene() for _ in range(33)], range(33))
    assert shown.format == "png"
    assert len(shown.data) < 450_000


@pytest.mark.parametrize("rounds", [[], [1, 2]])
def test_a_round_for_each_scene(rounds):
    with pytest.raises(CourseError, match="give one each"):
        replay([toy.ToyGAN("ring").scene()] if rounds else [], rounds)
