"""The film of a training: its slider, and the strip that stands in where no kernel runs."""

import base64
import io

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from course_lib import widgets
from course_lib.errors import CourseError
from course_lib.training import Snapshot


@pytest.fixture
def film():
    shades = (0, 90, 180, 250)
    snapshots = [
        Snapshot(step, np.full((10, 16, 16, 3), shade, np.uint8))
        for step, shade in zip((0, 10, 50, 100), shades, strict=True)
    ]
    return widgets.film(snapshots, batch_size=64, rows=3)


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_it_opens_at_the_last_moment_and_the_slider_moves(film):
    assert "6,400 images" in film.label.value
    assert decoded(film.picture.value).shape == (32, 128, 3)  # ten faces in rows of eight
    film.slider.value = 1
    assert "640 images" in film.label.value
    assert decoded(film.picture.value)[0, 0].tolist() == [90, 90, 90]


def test_a_strip_stands_in_where_no_kernel_runs(film):
    data, _ = DisplayFormatter().format(film)
    assert data["text/plain"] == "A film of the training: run this cell in JupyterLab or Colab."
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == film.model_id
    strip = decoded(base64.b64decode(data["image/png"]))
    middle = strip[:, -20].astype(int)
    first, last = middle[20], middle[-20]
    assert (first.tolist(), last.tolist()) == ([0, 0, 0], [250, 250, 250])


def test_of_a_setting_it_opens_where_it_is_told_and_says_what_it_shows():
    moments = [np.full((4, 16, 16, 3), shade, np.uint8) for shade in (10, 200)]
    scrubber = widgets.Scrubber(moments, ["0", "1"], name="guidance", start=0, says="left < right")
    assert scrubber.slider.description == "guidance"
    assert decoded(scrubber.picture.value)[0, 0].tolist() == [10, 10, 10]
    assert scrubber.children[2].value == "left &lt; right"
    data, _ = DisplayFormatter().format(scrubber)
    assert data["text/plain"].startswith("Pictures with a slider")
    scrubber.slider.value = 1
    assert "<b>1</b>" in scrubber.label.value


def test_labels_and_moments_belong_together():
    with pytest.raises(ValueError, match="1 labels for 0 moments; give one each"):
        widgets.Scrubber([], ["noise"])


@pytest.mark.parametrize("lost", [(0, 16, 16, 3), (0, 0, 0, 3)])
def test_moments_without_pictures_are_left_out(lost):
    snapshots = [Snapshot(step, np.zeros((8, 16, 16, 3), np.uint8)) for step in (0, 10, 20)]
    snapshots[1] = Snapshot(10, np.zeros(lost, np.uint8))
    film = widgets.film(snapshots, batch_size=64)
    assert film.slider.max == 1
    assert "1,280 images" in film.label.value
    film.slider.value = 0
    assert "0 images" in film.label.value


def test_a_training_without_pictures_has_no_film():
    snapshots = [Snapshot(0, np.zeros((0, 0, 0, 3), np.uint8), {"loss": 1.0})]
    with pytest.raises(CourseError, match="kept of this training: give `fit` a fun"):
        widgets.film(snapshots, batch_size=64)


def test_few_faces_keep_their_shape():
    film = widgets.film([Snapshot(0, np.zeros((3, 16, 16, 3), np.uint8))], batch_size=64)
    assert decoded(film.picture.value).shape == (16, 48, 3)
    assert film.strip().width == 300 + 3 * 128  # its label, then its faces


def test_a_moving_still_begins_with_the_last_moment():
    moments = [np.full((10, 16, 16, 3), shade, np.uint8) for shade in (0, 90, 180, 250)]
    scrubber = widgets.Scrubber(moments, list("abcd"), columns=6, rows=3, moving=True)
    movie = Image.open(io.BytesIO(scrubber.still()))
    assert movie.n_frames == 4
    assert movie.size == (6 * 36 - 4, 28 + 32)
    shades = []
    for i in range(movie.n_frames):
        movie.seek(i)
        shades.append(np.asarray(movie.convert("RGB"))[-1, 0, 0])
    assert np.allclose(shades, [250, 0, 180, 250], atol=8)
