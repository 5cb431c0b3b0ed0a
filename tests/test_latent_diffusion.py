"""Autoencoder, painter and pipeline of lesson 5, untrained and tiny."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from safetensors import safe_open
from torch.testing import assert_close

from course_lib import faces, judge, pretrained, text
from course_lib import latent_diffusion as ld
from course_lib.errors import CourseError
from course_lib.latent_diffusion import painting, pipeline

PROMPTS = ["red eyes, blue hair", "红眼睛，蓝色头发", "", "purplish 🎨 tuba, green hair"]


@pytest.fixture(scope="module")
def encoder():
    return text.load()


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(0)
    return ld.new_autoencoder((8, 16, 16)).eval()


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(1)
    return ld.new_unet((16, 32), 128).eval()


@pytest.fixture(scope="module")
def known():
    return faces.load("train")[:64]


def test_shapes(autoencoder, unet, known):
    latents = ld.latents_of(autoencoder, known[:3])
    assert latents.shape == (2, 3, 4, 16, 16)
    assert latents.dtype == torch.float16
    assert ld.give_back(autoencoder, known[:3].tensor()).shape == (3, 3, 64, 64)
    states = torch.randn(2, 64, 128)
    assert unet(torch.randn(2, 4, 16, 16), torch.tensor([0.0, 999.0]), states).sample.shape == (
        2, 4, 16, 16,
    )  # fmt: skip


def test_mirrored_latents_are_of_mirrored_faces(autoencoder, known):
    latents = ld.latents_of(autoencoder, known[:2]).float()
    mirrored = autoencoder.encode(known[:2].tensor().flip(-1)).latent_dist.mode()
    assert_close(latents[1], mirrored.detach(), rtol=1e-2, atol=1e-2)


def test_centred_latents_have_mean_0_and_std_1_and_pictures_stay(known):
    torch.manual_seed(2)
    autoencoder = ld.new_autoencoder((8, 16, 16)).eval()
    with torch.no_grad():  # latents that are far from centred
        autoencoder.quant_conv.weight[:4] *= torch.tensor([3.0, 0.2, 1.0, 7.0]).view(4, 1, 1, 1)
        autoencoder.quant_conv.bias[:4] += torch.tensor([1.0, -2.0, 0.5, 3.0])
    images = known.tensor()
    before = ld.give_back(autoencoder, images)
    spread = autoencoder.encode(images).latent_dist.std.detach()
    raw = autoencoder.encode(images).latent_dist.mode().detach().std((0, 2, 3))
    ld.centre(autoencoder, images)
    after = autoencoder.encode(images).latent_dist
    assert_close(after.mode().mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-3)
    assert_close(after.mode().std((0, 2, 3)), torch.ones(4), rtol=0, atol=1e-3)
    assert_close(after.std, spread / raw.view(1, 4, 1, 1), rtol=1e-3, atol=1e-5)
    assert_close(ld.give_back(autoencoder, images), before, rtol=1e-3, atol=1e-3)


def test_decibels_of_a_known_error(autoencoder, known, monkeypatch):
    images = known[:4].tensor() * 0.5
    monkeypatch.setattr(ld.autoencoder, "give_back", lambda _, images: images + 0.02)
    assert ld.decibels(autoencoder, images) == pytest.approx(40.0, abs=1e-3)  # 10 · log₁₀(4/0.0004)


def test_an_autoencoder_learns(known):
    recipe = ld.AutoencoderRecipe(batch_size=8, learning_rate=3e-3)
    judge.network._load.cache_clear()
    with torch.inference_mode():
        judge.load()  # as others may leave it: no gradient may pass through that one
    plan = ld.build(known, recipe, channels=(8, 16, 16))
    history = plan.fit(8 * 30, progress=False)
    losses = history.losses["loss"]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_a_decoder_learns_alone(known):
    """The committed one, whose latents a painter knows: they must stay what they are."""
    recipe = ld.AutoencoderRecipe(batch_size=4, begin="faces-autoencoder", emphasis=0.5)
    plan = ld.build(known, recipe)
    before, images = ld.load_autoencoder(), known[:2].tensor()
    plan.fit(4 * 3, progress=False)
    after = plan.result()
    latents = before.encode(images).latent_dist.mode()
    assert_close(after.encode(images).latent_dist.mode(), latents)
    assert (ld.decode(after, latents) - ld.decode(before, latents)).abs().max() > 1e-4


def test_emphasis_lies_where_the_words_decide():
    """Hair on the left half, ten times as bright as an eye at one place: both count alike."""
    looks = [{"hair": h, "eyes": e} for h in "ab" for e in ("x", "y", "hidden")]
    values = torch.zeros(6, 1, 8, 8)
    for value, look in zip(values, looks, strict=True):
        value[0, :, :4] = {"a": -1.0, "b": 1.0}[look["hair"]]
        value[0, 4, 6] = {"x": -0.1, "y": 0.1, "hidden": 9.0}[look["eyes"]]
    known = faces.Faces(np.zeros((6, 8, 8, 3), np.uint8), looks)
    shown = ld.where_words_show(values, known)
    expected = torch.full((8, 8), 0.5)  # 64 places / 32 / 2 attributes / 2 ways round
    expected[4, [1, 6]] += 16.0
    assert_close(shown, expected)
    assert_close(ld.emphasised(shown, 0.5), 0.5 + 0.5 * expected)
    eyes = torch.zeros(8, 8)
    eyes[4, 6] = 0.01  # the variance of -0.1 and 0.1; the hidden ones do not count
    assert_close(ld.decided_by(values, known, "eyes"), eyes)


def test_faces_of_whom_nothing_is_known_teach_no_words():
    own = faces.Faces(np.zeros((4, 64, 64, 3), np.uint8), name="mine")
    for recipe in (ld.Recipe(), ld.PRESETS["decoder"].recipe):
        with pytest.raises(faces.FacesError, match="mine: only drawings of the course's own style"):
            ld.build(own, recipe)


def test_a_painter_learns_and_goes_on(known, autoencoder, encoder, tmp_path):
    sizes = {"autoencoder": autoencoder, "encoder": encoder, "channels": (16, 32)}
    fit = {"progress": False, "pictures": None, "watch": None}
    recipe = ld.Recipe(batch_size=16, unet_rate=3e-3)
    whole = ld.build_painter(known, recipe, **sizes)
    losses = whole.fit(16 * 24, **fit).losses["loss"]
    assert sum(losses[-6:]) < 0.95 * sum(losses[:6])
    ld.build_painter(known, recipe, **sizes).fit(16 * 5, folder=tmp_path, **fit)
    again = ld.build_painter(known, recipe, **sizes).fit(16 * 8, folder=tmp_path, **fit)
    assert again.steps == 8
    assert again.losses["loss"][:5] == pytest.approx(losses[:5], rel=0.2)


def test_a_painter_goes_on_from_a_committed_one(known):
    recipe = ld.Recipe(batch_size=4, begin="faces-diffusion")
    plan = ld.build_painter(known[:8], recipe)
    begun, committed = plan.result(), ld.Painter().unet
    for one, other in zip(begun.parameters(), committed.parameters(), strict=True):
        assert_close(one, other)
    with pytest.raises(CourseError, match="built in another way: leave out channels and pooled"):
        ld.build_painter(known[:8], recipe, channels=(16, 32))


def test_captions_are_true_of_their_faces_and_some_are_empty(known, encoder):
    latents = torch.zeros(2, len(known), 4, 16, 16)
    told = ld.Latents(known, latents, encoder.tokens, empty=0.25)
    said = [told.in_epoch(epoch).say(i) for epoch in range(8) for i in range(len(known))]
    empty = said.count("") / len(said)
    assert 0.18 < empty < 0.32
    assert told.say(3) == told.say(3)
    assert len({told.in_epoch(epoch).say(3) for epoch in range(8)}) > 3
    for i in range(len(known)):
        for name, values in text.facts_of(told.say(i)).items():
            drawn = known.attributes[i][name]
            assert drawn in values or (values == ["yes"] and drawn != "no")


def test_noise_is_added_and_the_way_is_asked_for():
    """A network that knows the way has no loss."""
    latents, noise = torch.full((4, 4, 16, 16), 2.0), []

    class Knows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.none = torch.nn.Parameter(torch.zeros(()))

        def forward(self, place, time, states):
            from types import SimpleNamespace

            time = (time / 1000).view(-1, 1, 1, 1)
            noise.append((place - (1 - time) * latents) / time)
            return SimpleNamespace(sample=noise[-1] - latents + self.none)

    network = Knows()
    optimiser = torch.optim.SGD(network.parameters(), 0.0)
    batch = (latents, torch.zeros(4, 2, dtype=torch.long))
    losses = ld.diffusion_step(network, optimiser, batch, encode=lambda tokens: tokens)
    assert losses["loss"] < 1e-6
    assert noise[0].std() == pytest.approx(1, abs=0.1)


# The pipeline


@pytest.fixture(scope="module")
def assembled(unet, autoencoder, encoder):
    return pipeline.assemble(unet, autoencoder, encoder)


def test_it_is_a_genuine_pipeline_and_paints_what_our_lines_paint(
    assembled, unet, autoencoder, encoder
):
    assert type(assembled) is StableDiffusionPipeline
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    theirs = assembled(
        PROMPTS, num_inference_steps=6, guidance_scale=3.0, latents=noise, output_type="pt"
    ).images
    ours = ld.Painter(unet, autoencoder, encoder)(PROMPTS, seed=0, steps=6, guidance=3.0)
    # diffusers begins at time 0.999 and tells the U-Net whole thousandths
    assert (theirs[:3] - (ours[:3] + 1) / 2).abs().max() < 0.03


def test_the_tokenizers_agree(assembled, encoder):
    known = ["red eyes, blue hair", "红眼睛,蓝色头发", "", "A GIRL with twintails"]
    ids = assembled.tokenizer(
        known, padding="max_length", max_length=text.LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    assert (ids == painting.padded(encoder, known)).all()


@pytest.mark.parametrize(
    ("strange", "plain"),
    [
        ("红眼睛，蓝色头发", "红眼睛,蓝色头发"),
        ("red eyes 🎨 and tuba, blue hair", "red eyes and, blue hair"),
    ],
)
def test_the_text_model_is_not_led_astray(assembled, encoder, strange, plain):
    ids = assembled.tokenizer([strange], return_tensors="pt").input_ids
    theirs = assembled.text_encoder(ids)[0][:, -1]  # [SEP] has seen the whole sentence
    ours = encoder.think(plain).states[:, -1]
    assert torch.nn.functional.cosine_similarity(theirs, ours) > 0.98


def test_saved_and_loaded_it_paints_the_same(assembled, tmp_path):
    pipeline.save(assembled, tmp_path)
    loaded = DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    parts = (loaded.unet, loaded.vae, loaded.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}
    noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    one, two = (
        pipe(PROMPTS[:2], num_inference_steps=3, latents=noise, output_type="pt").images
        for pipe in (assembled, loaded)
    )
    assert (one - two).abs().max() < 0.01  # 16 bits a weight


def test_older_transformers_find_the_text_model_s_weights(assembled, tmp_path):
    """Without the prefix 4.57 would begin with random weights, and only warn."""
    pipeline.save(assembled, tmp_path)
    with safe_open(tmp_path / "text_encoder/model.safetensors", "pt") as file:
        names = list(file.keys())
    assert names
    assert all(name.startswith("text_model.") for name in names)
    words = (tmp_path / "tokenizer/vocab.txt").read_text(encoding="utf-8").splitlines()
    assert words == text.load().words
    index = json.loads((tmp_path / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "StableDiffusionPipeline"


# Into the U-Net while it paints


def test_looks_are_shares_of_the_tokens_and_leave_the_painter_as_it_was(unet, autoencoder, encoder):
    painter = ld.Painter(unet, autoencoder, encoder)
    before = painter(["red eyes"], seed=3, steps=2)
    words, maps, latents = ld.looks(painter, "red eyes", number=2, seed=3, steps=2)
    assert words == ["[CLS]", "red", "eyes", "[SEP]"]
    assert maps.shape == (text.LENGTH, 16, 16)
    assert_close(maps.sum(0), torch.ones(16, 16), rtol=0, atol=1e-4)
    assert latents.shape == (2, 4, 16, 16)
    assert not any("get_attention_scores" in vars(m) for m in unet.modules())
    assert_close(painter(["red eyes"], seed=3, steps=2), before)


def test_the_guess_is_where_the_road_ends(unet, autoencoder, encoder):
    painter = ld.Painter(unet, autoencoder, encoder)
    states, _ = painter.states(["red eyes"])
    place = painter.noise(1, 5)
    answer = unet(place, torch.tensor([600.0]), states).sample.detach()
    assert_close(ld.guess(painter, place, 0.6, states), place - 0.6 * answer)


def test_filled_up_with_the_end_of_the_sentence(encoder):
    rows = painting.padded(encoder, ["red eyes", ""])
    assert rows.shape == (2, text.LENGTH)
    assert rows[0].tolist().count(encoder.end) == text.LENGTH - 3
    assert (painting.padded(encoder, [""], "[PAD]") == text.PAD).sum() == text.LENGTH - 2


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ("red eyes", {}, "a list of texts"),
        ([3], {}, "a list of texts"),
        ([], {}, "no prompt"),
        (["red eyes"], {"steps": 0}, "steps is 0; choose a whole number from 1"),
        (["red eyes"], {"steps": 2.5}, "steps is 2.5"),
        (["red eyes"], {"guidance": -1.0}, "guidance is -1.0; choose 0 or more"),
        (["red eyes"], {"guidance": float("nan")}, "guidance is nan"),
        (["red eyes"], {"size": 60}, "size is 60; choose a multiple of 8"),
    ],
)
def test_bad_calls_say_what_to_do(unet, autoencoder, encoder, prompts, options, message):
    with pytest.raises(CourseError, match=re.escape(message)):
        ld.Painter(unet, autoencoder, encoder)(prompts, **options)


def test_other_sizes_and_a_watch(unet, autoencoder, encoder):
    seen = []
    images = ld.Painter(unet, autoencoder, encoder)(
        ["red eyes", ""], steps=2, size=96, watch=seen.append
    )
    assert images.shape == (2, 3, 96, 96)
    assert seen == [2, 2]


def test_a_training_s_folder_paints_again(unet, autoencoder, encoder, tmp_path):
    pipe = pipeline.assemble(unet, autoencoder, encoder)
    pretrained.save_folder(
        "small", lambda folder: ld.save(pipe, folder), training={}, folder=tmp_path
    )
    one = ld.load_painter("small", tmp_path)(["red eyes"], seed=1, steps=2)
    two = ld.Painter(unet, autoencoder, encoder)(["red eyes"], seed=1, steps=2)
    assert (one - two).abs().max() < 0.02  # 16 bits a weight
    assert isinstance(ld.load("small", tmp_path), StableDiffusionPipeline)
    part = tmp_path / "small" / "unet" / "config.json"
    part.write_text(part.read_text().replace("16", "17", 1))
    for load in (ld.load, ld.load_painter):
        with pytest.raises(pretrained.PretrainedError, match="damaged or was changed"):
            load("small", tmp_path)
    part.unlink()
    with pytest.raises(pretrained.PretrainedError, match="missing"):
        ld.load("small", tmp_path)


def test_a_walk_that_begins_late_stays_near_its_picture():
    """Image to image: from little noise back to nearly the same latents, from much to others."""
    painter, chance = ld.Painter(), torch.Generator().manual_seed(0)
    latents = ld.latents_of(painter.autoencoder, faces.load("held-out")[[4]])[0].float()
    states, empty = painter.states(["green hair"])
    noise, apart = torch.randn(latents.shape, generator=chance), []
    for start in (0.1, 0.9):
        begun = ld.flow.add_noise(latents, noise, start)
        ends = ld.walk(painter.unet, states, empty, begun, steps=4, start=start)
        assert_close(ends[0], begun)
        apart.append((ends[-1] - latents).square().mean().item())
    assert apart[0] < apart[1] / 4


def test_channels_come_last_but_for_16_bits_on_a_cpu():
    cpu, layout = torch.device("cpu"), ld.autoencoder.layout
    assert layout(cpu) is torch.channels_last
    assert layout(cpu, "bf16") is torch.contiguous_format
    assert layout(torch.device("cuda"), "bf16") is torch.channels_last
