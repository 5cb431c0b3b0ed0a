"""Faces beside captions: what is near what, and what of a prompt is told to people."""

import random

import pytest
import torch
from torch.nn import functional as F

from course_lib import captions, faces, text
from course_lib.faces.captioned import fits, in_numbers


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


def test_a_caption_finds_the_faces_it_is_true_of():
    """On held-out faces: the nearest to a caption is one of which it is true, nearly always."""
    clip, known = text.load_clip(), faces.load("held-out")
    rng = random.Random(5)
    said = [
        captions.describe_in(("en", "zh")[i % 2], a, rng) for i, a in enumerate(known.attributes)
    ]
    thoughts = F.normalize(clip.encoder.think([sentence for sentence, _ in said]).vector, dim=1)
    looks = F.normalize(clip.sight.look(known.tensor()).vector, dim=1)
    facts = torch.tensor([in_numbers(facts) for _, facts in said])
    drawn = torch.from_numpy(faces.Captioned(known, clip.encoder.tokens).drawn).long()
    true = fits(facts[:, None], drawn)  # (captions, faces)
    nearest = (thoughts @ looks.T).argmax(1)
    found = true[torch.arange(len(said)), nearest].float().mean()
    assert true.float().mean() < 0.1 < 0.85 < found


def test_looks_do_not_depend_on_the_batch():
    clip, images = text.load_clip(), faces.load("held-out")[:6].tensor()
    whole, parts = clip.sight.look(images), clip.sight.look(images, batch_size=4)
    torch.testing.assert_close(whole.vector, parts.vector, rtol=1e-4, atol=1e-5)
    assert whole.tokens.shape == (6, 128)


def test_verdicts_name_what_was_asked_for():
    known = faces.load("held-out")
    i = next(i for i, a in enumerate(known.attributes) if a["hair_color"] == "red")
    red = known[i].tensor()
    assert text.verdicts(red, "red hair") == [{"hair color: red": True}]
    assert text.verdicts(red, "蓝头发") == [{"hair color: blue": False}]
    assert text.verdicts(red, "red hair, blue hair") == [{"hair color: red or blue": True}]
    assert text.verdicts(red, "🙂") == [{}]
    assert (
        text.summary({"hair color: red": True, "glasses": False}) == "✓ hair color: red, ✗ glasses"
    )


@pytest.mark.parametrize(
    ("prompt", "lines"),
    [
        ("red eyes", []),
        ("", ["Nothing is asked for: any face will do."]),
        ("a girl", ["Nothing is asked for: any face will do."]),
        ("一个女孩", ["Nothing is asked for: any face will do."]),
        ("a tuba", ["Nothing is asked for", "Unknown words, which say nothing to it: tuba"]),
        (
            "short hair, no glasses",
            ["Unknown words", "It has learnt no denials: what follows “no”"],
        ),
        (
            "red eyes, Grey hair, a frown, the night",
            ["Unknown words, which say nothing to it: Grey (gray?), frown (frowning?), night"],
        ),
        ("不戴眼镜", ["It has learnt no denials: what follows “不”"]),
        ("闷闷不乐，红眼睛", []),
        ("red eyes, blue eyes", ["The eye color cannot be red and blue at once; either counts."]),
        ("red eyes " * 40, ["The prompt is too long; left out: red eyes"]),
    ],
)
def test_remarks_are_what_a_person_should_know(prompt, lines):
    found = text.remarks(text.load().understand(prompt))
    assert len(found) == len(lines)
    assert all(one.startswith(other) for one, other in zip(found, lines, strict=True))
