"""The easel: a prompt, faces, verdicts; and what stands in its place where no kernel runs."""

import io

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from course_lib import faces, text, widgets
from course_lib.errors import CourseError


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


@pytest.fixture(scope="module")
def known() -> faces.Faces:
    held_out = faces.load("held-out")
    red = [i for i, a in enumerate(held_out.attributes) if a["hair_color"] == "red"][:3]
    blue = [i for i, a in enumerate(held_out.attributes) if a["hair_color"] == "blue"][:1]
    return held_out[red + blue]


@pytest.fixture
def easel(known):
    """Its painter paints three faces with red hair and one with blue hair, whatever it is told."""
    asked = []

    def paint(prompts: list[str], seed: int) -> torch.Tensor:
        asked.append((prompts, seed))
        if prompts[0] == "break":
            raise CourseError("no paint left: buy some")
        return known.tensor()[: len(prompts)]

    easel = widgets.Easel(paint, text.load(), "red hair", faces=4, columns=2)
    easel.asked = asked
    return easel


def test_it_paints_at_once_and_says_of_each_face_whether_it_is_so(easel):
    assert easel.asked == [(["red hair"] * 4, 0)]
    assert easel.pictures.value.count("<img") == 4
    assert easel.pictures.value.count("✓ hair color: red") == 3
    assert easel.pictures.value.count("✗ hair color: red") == 1
    assert easel.understood.value == ""


def test_another_prompt_or_seed_paints_anew(easel):
    easel.prompt.value = "蓝头发, a <tuba>"
    easel.seed.value = 3
    assert easel.asked[-1] == (["蓝头发, a <tuba>"] * 4, 3)
    assert "tuba" in easel.understood.value
    assert "<tuba>" not in easel.understood.value
    assert easel.pictures.value.count("✓ hair color: blue") == 1


def test_what_goes_wrong_is_shown(easel):
    easel.prompt.value = "break"
    assert "no paint left: buy some" in easel.understood.value
    assert easel.pictures.value == ""


def test_faces_stand_in_where_no_kernel_runs(easel):
    data, _ = DisplayFormatter().format(easel)
    assert data["text/plain"].startswith("An easel with a field for prompts")
    with Image.open(io.BytesIO(easel.still())) as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10
        assert picture.size[0] > picture.size[1] / 2


def test_no_faces():
    with pytest.raises(CourseError, match="faces is 0; choose 1 or more"):
        widgets.Easel(lambda *_: None, None, faces=0)
