"""What was asked, and what is there."""

from itertools import pairwise

import pytest
import torch

from course_lib import faces, judge


@pytest.fixture(scope="module")
def some():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield faces.load("held-out")[:120]


def visible(attributes):
    return {name: value for name, value in attributes.items() if value not in ("no", "hidden")}


def test_real_faces_are_what_they_are(some):
    scores = judge.obedience(some.tensor(), [visible(a) for a in some.attributes])
    assert scores["hair_color"] == (120, 120)
    assert scores["eye_color"].accuracy == 1
    assert scores["everything"].right >= 116
    assert judge.mean_accuracy(scores) > 0.98


def test_what_is_not_there_is_counted(some):
    scores = judge.obedience(some.tensor(), [visible(a) for a in some.attributes[::-1]])
    assert scores["hair_color"].accuracy < 0.5
    assert scores["everything"].right < 5


def test_any_kind_of_glasses():
    assert judge.is_so("yes", "round")
    assert not judge.is_so("yes", "no")
    assert not judge.is_so("yes", "hidden")
    assert judge.is_so("red", "red")


def test_an_eye_of_another_colour_is_seen(some):
    """The left half of one face and the right half of another: the judge alone may be fooled."""
    open_eyed = [
        i for i, a in enumerate(some.attributes) if a["eye_shape"] not in ("closed", "wink")
    ]
    pairs = [
        (i, j)
        for i, j in pairwise(open_eyed)
        if some.attributes[i]["eye_color"] != some.attributes[j]["eye_color"]
    ]
    images = some.tensor()
    mixed = torch.stack(
        [torch.cat([images[i][..., :32], images[j][..., 32:]], 2) for i, j in pairs]
    )
    asked = [{"eye_color": some.attributes[i]["eye_color"]} for i, _ in pairs]
    assert judge.obedience(mixed, asked)["eye_color"].accuracy < 0.1


def test_as_many_facts_as_images(some):
    with pytest.raises(judge.JudgeError, match="120 images and 1 sets of facts"):
        judge.obedience(some.tensor(), [{}])
