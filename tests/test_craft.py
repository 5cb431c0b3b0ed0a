"""Inpainting, image to image, anagrams, LoRA: on the course's own pipeline."""

import numpy as np
import pytest
import torch

from course_lib import faces, judge, pretrained
from course_lib import latent_diffusion as ld
from course_lib import stable_diffusion as sd
from course_lib.errors import CourseError
from course_lib.stable_diffusion import craft, lora


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture(scope="module")
def pipeline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        return ld.load()


@pytest.fixture(scope="module")
def known():
    open_eyes = faces.load("held-out").filter(eye_shape=["round", "sharp"], eye_color="blue")
    return open_eyes[:6]


def test_retouched_eyes_are_new_and_all_else_is_old(pipeline, known):
    images, mask = known.tensor(), craft.box(craft.EYES)
    painted = craft.retouch(pipeline, images, ["red eyes"] * 6, mask, steps=8)
    outside = ~mask.bool().expand_as(images)
    assert torch.equal(painted[outside], images[outside])
    assert not torch.allclose(painted, images, atol=0.1)
    seen = judge.obedience(painted, [{"eye_color": "red"}] * 6)["eye_color"]
    assert seen.right >= 4
    again = craft.retouch(pipeline, images[:1], ["red eyes"], mask, steps=8)
    assert (again - painted[:1]).abs().mean() < 0.01  # of its own noise, whatever is beside it


def test_redrawing_forgets_more_with_strength(pipeline, known):
    images = known[:2].tensor()
    told = ["green hair"] * 2
    far = [
        (craft.redraw(pipeline, images, told, strength, steps=10) - images).abs().mean().item()
        for strength in (0.1, 0.5, 1.0)
    ]
    assert far == sorted(far)
    assert far[0] < 0.5 * far[2]


@pytest.mark.parametrize("where", [(0, 0, 0, 5), (0, 65, 0, 5), (-1, 5, 0, 5), (9, 5, 0, 5)])
def test_a_box_lies_in_the_picture(where):
    with pytest.raises(CourseError, match="top < bottom ≤ 64"):
        craft.box(where)


def test_what_does_not_fit_is_refused(pipeline, known):
    images, mask = known[:2].tensor(), craft.box(craft.EYES)
    for call in (
        lambda: craft.retouch(pipeline, images, ["red eyes"], mask),
        lambda: craft.retouch(pipeline, images, "red eyes", mask),
        lambda: craft.retouch(pipeline, images, ["red eyes"] * 2, mask[..., :32]),
        lambda: craft.redraw(pipeline, images, ["red eyes"] * 2, strength=0),
        lambda: craft.redraw(pipeline, images, ["red eyes"] * 3),
    ):
        with pytest.raises(CourseError, match=r"prompts|mask|strength"):
            call()


def test_an_anagram_obeys_from_both_sides():
    painter = ld.Painter()
    told = ["pink hair, closed eyes"] * 2, ["brown hair, fair skin, closed eyes"] * 2
    images = craft.anagram(painter, *told, steps=8)
    assert images.shape == (2, 3, 64, 64)
    for seen, colour in ((images, "pink"), (craft.half_turn(images), "brown")):
        names = judge.read(seen).names
        assert any(one["hair_color"] == colour for one in names)
    assert torch.equal(craft.half_turn(craft.half_turn(images)), images)
    with pytest.raises(CourseError, match="1 prompts upright and 2"):
        craft.anagram(painter, ["red hair"], ["blue hair"] * 2)


def test_black_and_white_is_printed_in_the_courses_colours():
    drawn = faces.render(8, seed=3, style=lora.STYLE)
    sheets = lora.printed(drawn)
    corners = sheets.images[:, 0, 0]
    assert torch.equal(torch.tensor(corners[:4].astype(int)), torch.tensor(lora.PAPERS))
    assert (corners[4:] == corners[:4]).all()
    assert abs(sheets.images.min(axis=(0, 1, 2)).astype(int) - lora.INK).max() <= 2
    assert sheets.seeds == drawn.seeds


def test_the_committed_lora_brings_another_hand_and_can_be_taken_out_again():
    pipeline = sd.load("course")
    before = sd.paint(pipeline, ["red hair"] * 2, [1, 2], steps=4)
    folder = pretrained.whole_folder(lora.WEIGHTS)
    pipeline.load_lora_weights(folder, adapter_name="lorelei")
    pipeline.vae.load_lora_adapter(folder, "vae", weight_name=lora.FILE, adapter_name="lorelei")
    inked = sd.paint(pipeline, [""] * 6, range(6), steps=6, guidance=1.0)
    corners = np.stack(inked)[:, 2:6, 2:6].reshape(6, -1, 3).mean(1)
    off = np.abs(corners[:, None] - lora.PAPERS).max(-1).min(-1)  # from the nearest paper
    assert np.median(off) < 15
    pipeline.unload_lora_weights()
    pipeline.vae.unload_lora()
    after = sd.paint(pipeline, ["red hair"] * 2, [1, 2], steps=4)
    assert np.abs(np.stack(after).astype(int) - np.stack(before)).max() <= 2
    distances = pretrained.describe(lora.WEIGHTS)["training"]["distances"]
    for name, times in (("frechet/convolution", 3), ("frechet/pixels", 10)):
        assert distances[name][0] >= times * distances[name][-1]


def test_a_lora_begins_as_nothing_learns_and_loads_in_plain_diffusers(tmp_path):
    painter = ld.Painter()
    style = faces.render(16, seed=3, style=lora.STYLE)

    def painted(one=painter):
        return one(["red hair"], seed=1, steps=3)

    before = painted()
    decoder = lora.build_decoder_lora(style, painter, lora.DecoderRecipe(rank=4))
    unet = lora.build_lora(style, painter, lora.LoraRecipe(rank=4, batch_size=4))
    assert torch.allclose(painted(), before, atol=1e-3)
    fixed = [
        painter.unet.conv_in.weight.clone(),
        *painter.autoencoder.encoder.state_dict().values(),
    ]
    decoder.fit(4 * 4, progress=False)
    drawn = painted()
    assert (drawn - before).abs().mean() > 0.003
    unet.fit(4 * 6, progress=False)
    learnt = painted()
    assert (learnt - drawn).abs().mean() > 0.003
    now = [painter.unet.conv_in.weight, *painter.autoencoder.encoder.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(fixed, now, strict=True))
    lora.weigh(painter, 0)
    assert torch.allclose(painted(), before, atol=1e-3)
    lora.weigh(painter, 1)
    file = lora.save_lora(painter, tmp_path)
    assert file.name == lora.FILE
    plain = ld.load()
    plain.load_lora_weights(tmp_path)
    plain.vae.load_lora_adapter(tmp_path, "vae", weight_name=lora.FILE)
    other = ld.Painter(plain.unet, plain.vae, painter.encoder)
    assert torch.allclose(painted(other), learnt, atol=1e-3)


def test_a_decoders_lora_draws_the_style_better():
    painter = ld.Painter()
    style = lora.printed(faces.render(24, seed=3, style=lora.STYLE))
    before = ld.decibels(painter.autoencoder, style.tensor())
    lora.build_decoder_lora(style, painter).fit(4 * 30, progress=False)
    assert ld.decibels(painter.autoencoder, style.tensor()) > before + 1.5


def test_a_lora_is_put_in_once_and_kept_only_when_there_is_one(tmp_path):
    painter = ld.Painter()
    with pytest.raises(CourseError, match="no LoRA"):
        lora.save_lora(painter, tmp_path)
    with pytest.raises(CourseError, match="rank is 0"):
        lora.add_lora(painter.unet, 0)
    lora.add_lora(painter.unet, 2)
    with pytest.raises(CourseError, match="has a LoRA already"):
        lora.add_lora(painter.unet, 2)
