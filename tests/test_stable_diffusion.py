"""Lesson 6's checkpoints: the Hub's own way of downloading, from a Hub on this machine."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import psutil
import pytest
import torch
from local_hub import LocalHub, Repository, point_at
from PIL import Image
from safetensors.torch import load_file, save_file

from course_lib import latent_diffusion as ld
from course_lib import pretrained, settings
from course_lib import stable_diffusion as sd
from course_lib.latent_diffusion import painting as lesson5
from course_lib.stable_diffusion import checkpoints, estimating, fetching, table
from course_lib.stable_diffusion.troubles import PaintingError

FACES = "course/faces"
PROMPTS, SEEDS = ["red hair, glasses", "蓝色头发"], [3, 4]
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    for name in ("COURSE_CHECKPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def committed() -> Path:
    return pretrained.whole_folder("faces-diffusion")


@pytest.fixture(scope="module")
def course():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        return sd.load("course")


@pytest.fixture(scope="module")
def lesson_5s():
    """Lesson 5's own way to the same pipeline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        return ld.load()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of huggingface_hub, nobody logged in, and no Hub that could be reached."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_at("http://127.0.0.1:9", monkeypatch)
    return tmp_path / "home" / "hub"


@pytest.fixture
def hub(cache, monkeypatch, committed):
    """A Hub that has the course's own pipeline, and beside it what nobody needs."""
    hub = LocalHub()
    repository = Repository.of(committed)
    repository.files |= {"unet/diffusion_pytorch_model.bin": b"pickle", "README.md": b"# faces"}
    hub.repositories[FACES] = repository
    point_at(hub.url, monkeypatch)
    yield hub
    hub.stop()


@pytest.fixture
def folder(tmp_path, committed) -> Path:
    """A copy of the course's pipeline that may be broken."""
    return Path(shutil.copytree(committed, tmp_path / "mine"))


def refused(name, match: str) -> PaintingError:
    with pytest.raises(PaintingError, match=match) as told:
        sd.load(name)
    return told.value


def pixels(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in pictures]).astype(int)


# The table and the setting


def test_the_table_says_what_one_has_to_know_before_one_fetches():
    assert list(sd.CHECKPOINTS) == ["course", "sd15", "turbo", "skypaint", "taiyi"]
    shown, brief = sd.CHECKPOINTS._repr_markdown_(), str(sd.CHECKPOINTS)
    for name, one in sd.CHECKPOINTS.items():
        assert one.name == name
        assert f"| {name} | {one.about}" in shown
        assert one.licence in brief
        if name != "course":
            assert table.HUB_ID.fullmatch(one.id)
            assert re.fullmatch(r"20\d\d-[01]\d", one.seen)
            assert one.download > 1
            assert one.memory > 2
    assert {line.count("|") for line in shown.splitlines()} == {9}
    own = sd.CHECKPOINTS["course"]
    assert (own.id, own.steps, own.guidance, own.side) == (
        lesson5.WEIGHTS, lesson5.STEPS, lesson5.GUIDANCE, lesson5.SIZE,
    )  # fmt: skip


def test_a_checkpoint_is_chosen_by_one_argument_or_by_the_setting(monkeypatch, folder):
    assert settings.checkpoint() == "course"
    assert sd.find() is sd.CHECKPOINTS["course"]
    monkeypatch.setenv("COURSE_CHECKPOINT", " turbo ")
    assert sd.find() is sd.CHECKPOINTS["turbo"]
    assert sd.find("SkyworkAIGC/SkyPaint").prefix == "sai-v1 art, "
    assert sd.find("someone/painter").id == "someone/painter"
    assert sd.find(folder).folder == folder
    assert sd.find(str(folder)).folder == folder
    namesake = folder.rename(folder.with_name("course"))
    assert sd.fetch(namesake) == namesake


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("sd51", "Known names: course, sd15.*COURSE_CHECKPOINT.*Did you mean 'sd15'?"),
        ("/no/such/folder", "There is no checkpoint '/no/such/folder'"),
        (Path("owner/name"), "There is no checkpoint 'owner.name'"),
        (7, "There is no checkpoint '7'"),
    ],
)
def test_a_name_that_is_none(name, match):
    refused(name, match)


# Which files, and where to


def test_only_safetensors_are_needed_and_in_16_bits_where_there_are_such():
    """The list of files of Stable Diffusion 1.5 on the Hub, shortened."""
    index = {part: ["diffusers", "X"] for part in (*fetching.ALWAYS, "safety_checker")}
    index |= {"image_encoder": [None, None], "requires_safety_checker": True}
    weights = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model",
               "text_encoder": "model", "safety_checker": "model"}  # fmt: skip
    small = ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt",
             "tokenizer/vocab.json", *(f"{part}/config.json" for part in weights)]  # fmt: skip
    half = [f"{part}/{stem}.fp16.safetensors" for part, stem in weights.items()]
    plain = [f"{part}/{stem}.safetensors" for part, stem in weights.items()]
    other = ["README.md", "v1-5-pruned.safetensors", "unet/diffusion_pytorch_model.fp16.bin",
             "unet/diffusion_pytorch_model.non_ema.safetensors", "v1-5.ckpt"]  # fmt: skip
    assert fetching.needed("a/b", index, small + half + plain + other) == sorted(small + half)
    assert fetching.needed("a/b", index, small + plain + other) == sorted(small + plain)
    shards = [f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert fetching.weights_among(shards) == (shards, None)
    assert fetching.weights_among(shards[:1]) == ([], None)
    with pytest.raises(PaintingError, match=r"no safetensors for (unet|safety).*pickles.*turbo"):
        fetching.needed("a/b", index, small + half[2:3] + other, ["sd15", "turbo"])


def test_where_networks_are_kept_follows_from_the_free_memory():
    sd15 = {"weights": 2.74, "largest": 1.72, "working": 1.0}
    assert sd.placement(15.0, **sd15) == "whole"  # a T4
    assert sd.placement(3.5, **sd15) == "parts"
    assert sd.placement(2.0, **sd15) == "layers"


def test_a_pipeline_goes_to_a_gpu_in_parts_as_large_as_fit(committed, monkeypatch, capsys):
    """No GPU is here; what is asked of diffusers is written down instead of done."""
    done = []
    pipeline = sd.load(committed)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    pipeline.to = lambda device: done.append("to")
    pipeline.enable_model_cpu_offload = lambda device: done.append("model")
    pipeline.enable_sequential_cpu_offload = lambda device: done.append("sequential")
    for free, called in ((9, "to"), (0.045, "model"), (0.01, "sequential")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free * 1e9, 16e9))
        checkpoints.place(pipeline, torch.device("cuda"))
        assert done.pop() == called
        assert pipeline.vae.use_tiling == pipeline.vae.use_slicing == (called == "sequential")
        assert ("only while they work" in capsys.readouterr().out) == (called != "to")


# From the Hub


def test_the_hubs_checkpoint_paints_what_the_committed_folder_paints(hub, lesson_5s):
    pipeline = sd.load(FACES)
    assert sorted(set(hub.files_sent())) == sorted(set(hub.repositories[FACES].files) - {
        "unet/diffusion_pytorch_model.bin", "README.md"})  # fmt: skip
    painted = sd.paint(pipeline, PROMPTS, SEEDS, steps=4)
    before = pixels(sd.paint(lesson_5s, PROMPTS, SEEDS, steps=4, guidance=2))
    assert np.array_equal(pixels(painted), before)
    assert type(pipeline).__name__ == "StableDiffusionPipeline"
    assert pipeline.safety_checker is None
    about = sd.checkpoint_of(pipeline)
    assert (about.name, about.side, about.steps, about.guidance) == (FACES, 64, 10, 2.0)


def test_what_is_in_the_cache_needs_no_network(hub, monkeypatch):
    first = sd.fetch(FACES)
    asked = len(hub.asked)
    assert sd.fetch(FACES) == first
    assert len(hub.asked) == asked
    hub.stop()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert sd.load(FACES).checkpoint.id == FACES


def test_a_revision_of_its_own(hub, monkeypatch):
    hub.repositories[FACES].revisions = ("refs/pr/5",)
    refused(FACES, "course/faces has no revision 'main' any more")
    one = replace(sd.CHECKPOINTS["skypaint"], id=FACES, side=64, steps=2)
    monkeypatch.setitem(sd.CHECKPOINTS, "skypaint", one)
    pipeline = sd.load("skypaint")
    assert pipeline.checkpoint is one
    short, whole = (sd.paint(pipeline, [f"{a}red hair"], [1]) for a in ("", "sai-v1 art, "))
    assert np.array_equal(pixels(short), pixels(whole))


def test_a_connection_that_breaks_off_is_taken_up_again(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 2**14)
    hub.repositories[FACES].cut = Counter({TEXT: 2})
    size = len(hub.repositories[FACES].files[TEXT])
    folder = sd.fetch(FACES)
    assert (folder / TEXT).read_bytes() == hub.repositories[FACES].files[TEXT]
    ranges = [range for way, path, range in hub.asked if way == "GET" and path.endswith(TEXT)]
    assert len(ranges) == 3
    assert ranges[0] is None
    starts = [int(range.removeprefix("bytes=").rstrip("-")) for range in ranges[1:]]
    assert 0.4 * size < starts[0] < 0.5 * size < 0.7 * size < starts[1]


def test_an_interrupted_download_goes_on_where_it_was(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.repositories[FACES].cut = Counter({TEXT: Repository.DEAD})
    error = refused(FACES, "download of course/faces was interrupted.*Run this again: files that")
    assert error.__cause__ is not None
    sent = set(hub.files_sent()) - {TEXT}
    assert len(sent) > 3
    hub.repositories[FACES].cut.clear()
    hub.asked.clear()
    sd.load(FACES)
    assert TEXT in hub.files_sent()
    assert not sent & set(hub.files_sent())


@pytest.mark.parametrize("token", [None, "hf_abc"])
def test_a_checkpoint_that_is_gone(hub, monkeypatch, token):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    error = refused("stabilityai/sd-turbo", "no model 'stabilityai/sd-turbo' on the Hub.*renamed")
    assert 'one of "course", "sd15", "skypaint", "taiyi"' in str(error)
    assert "COURSE_CHECKPOINT" in str(error)
    assert isinstance(error.__cause__, huggingface_hub.errors.RepositoryNotFoundError)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_checkpoint(hub, status):
    hub.repositories[FACES].refuse = (status, "GatedRepo")
    error = refused(FACES, "gated.*accept the licence.*huggingface.co/course/faces.*hf auth login")
    assert isinstance(error.__cause__, huggingface_hub.errors.GatedRepoError)


@pytest.mark.parametrize(
    ("status", "match"),
    [(503, "answered with status 503.*Wait"), (401, "token that is stored.*hf auth login")],
)
def test_a_hub_that_refuses(hub, status, match):
    hub.status = status
    refused(FACES, match)


def test_no_network_and_nothing_in_the_cache(cache, monkeypatch):
    error = refused(
        "sd15", r"cannot be reached \(.*load\(\"course\"\).*s.fetch\('stable-diffusion-"
    )
    assert str(cache) in str(error)
    assert error.__cause__ is not None
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("sd15", r"cannot be reached \(HF_HUB_OFFLINE is set\)")


def test_no_network_and_half_of_it_in_the_cache(hub):
    (sd.fetch(FACES) / TEXT).unlink()
    hub.stop()
    refused(FACES, "not, or not wholly, in .*cannot be reached")


def test_a_full_disk_is_seen_before_anything_is_fetched(hub, monkeypatch, cache):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**7))
    refused(FACES, r"needs 0.017\d GB more on the disk, and 0.01 GB are free.*HF_HOME")
    assert set(hub.files_sent()) == {"model_index.json"}


@pytest.mark.parametrize(
    ("number", "match"),
    [(errno.ENOSPC, "disk is full.*HF_HOME"), (errno.EACCES, "cannot be written")],
)
def test_a_disk_that_takes_no_more(hub, monkeypatch, number, match):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(fetching, "cached", lambda *_: None)
    assert refused(FACES, match).__cause__.errno == number


def test_a_repository_of_pickles_only(hub):
    files = hub.repositories[FACES].files
    files["unet/diffusion_pytorch_model.bin"] = files.pop(
        "unet/diffusion_pytorch_model.safetensors"
    )
    refused(FACES, "no safetensors for unet.*pickles.*Take course or sd15 or turbo")
    assert set(hub.files_sent()) == {"model_index.json"}


def test_a_repository_without_an_index_or_of_another_kind(hub):
    files = hub.repositories[FACES].files
    files["model_index.json"] = json.dumps({"_class_name": "FluxPipeline"}).encode()
    refused(FACES, "it is a FluxPipeline, and the course needs a StableDiffusionPipeline")
    del files["model_index.json"]
    refused(FACES, "course/faces is not a Stable Diffusion.*it has no model_index.json")


def test_a_damaged_file_is_fetched_anew_when_the_advice_is_followed(hub):
    file = sd.fetch(FACES) / "vae" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.resolve().write_bytes(whole[:-1000])
    error = refused(FACES, r"vae/diffusion_pytorch_model.safetensors is damaged.*Delete ")
    for path in re.search(r"Delete (\S+) \(and the link to it, (\S+)\)", str(error)).groups():
        Path(path).unlink()
    sd.load(FACES)
    assert file.read_bytes() == whole


@pytest.mark.slow
def test_by_environment_variables_alone(hub, tmp_path):
    """As a student sets them, in a Python of its own."""
    code = "from course_lib import stable_diffusion as s; p = s.load(); print(p.checkpoint.id)"
    chosen = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "theirs"),
        "COURSE_CHECKPOINT": FACES,
    }
    root = Path(sd.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | chosen | {"OMP_NUM_THREADS": "1"},
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == FACES, done.stderr
    assert list((tmp_path / "theirs" / "hub").glob("models--course--faces/snapshots/*/unet"))
    assert "Warning" not in done.stderr
    assert "deprecat" not in done.stderr


# From a folder


def test_a_weight_that_would_stay_random(folder):
    weights = load_file(folder / TEXT)
    lost = next(name for name in weights if name.endswith("q_proj.weight"))
    save_file({n: w for n, w in weights.items() if n != lost}, folder / TEXT, {"format": "pt"})
    refused(folder, r"1 weights of the text_encoder are not in its file.*q_proj.weight")
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(unet)
    save_file({n: w for n, w in weights.items() if n != "conv_in.bias"}, unet, {"format": "pt"})
    save_file(
        load_file(folder / TEXT) | {lost: torch.zeros(128, 128)}, folder / TEXT, {"format": "pt"}
    )
    refused(folder, r"1 weights of the unet .*example conv_in.bias: they would stay random")


def _index(folder: Path, **changed) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (
            lambda f: (f / "model_index.json").unlink(),
            "it has no model_index.json.*save_pretrained",
        ),
        (lambda f: (f / "model_index.json").write_text("{"), "its model_index.json is damaged"),
        (lambda f: _index(f, _class_name="FluxPipeline"), "it is a FluxPipeline"),
        (lambda f: _index(f, vae=[None, None]), "names no vae"),
        (lambda f: _index(f, unet=["mine", "U"]), "unet is of 'mine', and code that comes with"),
        (lambda f: _index(f, unet=["diffusers", "NoSuchNet"]), "its unet cannot be loaded.*NoSuch"),
        (lambda f: shutil.rmtree(f / "tokenizer"), "it has no tokenizer that is whole"),
        (lambda f: (f / TEXT).rename(f / "text_encoder/pytorch_model.bin"), "no text_encoder"),
        (lambda f: (f / TEXT).write_bytes(b"{}"), "text_encoder/model.safetensors is damaged"),
    ],
)
def test_a_folder_that_is_not_whole(folder, spoil, match):
    spoil(folder)
    refused(str(folder), match)


@pytest.fixture(scope="module")
def taiyi_like(tmp_path_factory, committed) -> Path:
    """A tiny pipeline built as Taiyi: BERT as text encoder, a safety checker, files in 16 bits."""
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )  # fmt: skip
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import BertConfig, BertModel, BertTokenizer, CLIPConfig, CLIPImageProcessor

    torch.manual_seed(0)
    tiny = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2,
            "num_hidden_layers": 1}  # fmt: skip
    vision = tiny | {"image_size": 30, "patch_size": 15, "projection_dim": 16}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16))
    checker.concept_embeds_weights.data.fill_(-2)  # a threshold below every cosine: all is black
    tokenizer = BertTokenizer.from_pretrained(committed / "tokenizer")
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4,
                          down_block_types=["DownEncoderBlock2D"] * 2,
                          up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4),
        text_encoder=BertModel(BertConfig(vocab_size=len(tokenizer), **tiny)),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
            cross_attention_dim=32, attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D")),
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=30),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("taiyi")
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


def test_a_chinese_text_encoder_files_in_16_bits_and_a_safety_checker(taiyi_like):
    pipeline = sd.load(taiyi_like)
    assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {
        torch.float32}  # fmt: skip
    assert type(pipeline.safety_checker).__name__ == "StableDiffusionSafetyChecker"
    assert sd.checkpoint_of(pipeline).checker
    assert sd.checkpoint_of(pipeline).side == 16
    with pytest.warns(UserWarning, match=r"made 3 of 3 pictures black \(numbers 0, 1, 2, from 0\)"):
        pictures = sd.paint(pipeline, ["黑发"] * 3, [0, 1, 2], steps=2, at_once=2)
    assert not pixels(pictures).any()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_no_gpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cuda")
    monkeypatch.setattr(estimating, "measure_speed", lambda device: 0.1)
    error = refused("sd15", r"COURSE_DEVICE is cuda, and there is no such GPU here.*Colab: Runtime")
    assert re.search(r"takes \d+ to \d+ (minutes|hours|seconds) on this CPU", str(error))
    assert isinstance(error.__cause__, (AssertionError, RuntimeError))


def test_too_little_memory_is_seen_before_anything_is_loaded(folder, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**7))
    refused(folder, r"mine needs about 0.0\d+ GB of the computer's memory, and 0.01 are free.*Shut")


def test_a_large_one_on_a_cpu_says_how_long_it_will_take(folder, monkeypatch, capsys):
    monkeypatch.setattr(checkpoints, "LARGE", 0.0)
    monkeypatch.setattr(estimating, "measure_speed", lambda device: 0.1)
    sd.load(folder)
    assert "Estimate, not a promise: one picture by mine, 64 pixels" in capsys.readouterr().out


def test_the_estimate_is_this_arithmetic(monkeypatch):
    monkeypatch.setattr(estimating, "measure_speed", lambda device: 0.1)
    cpu = torch.device("cpu")
    work = 25 * 2 * 0.80 + 2.51
    assert estimating.tflop(sd.CHECKPOINTS["sd15"]) == pytest.approx(work)
    told = sd.estimate("sd15", cpu)
    assert "Estimate" in told
    assert f"takes {work / 0.1 / 60:.0f} to {3 * work / 0.1 / 60:.0f} minutes on this CPU" in told
    assert "1 step, takes 1 to 2 minutes" in sd.estimate("turbo", cpu)
    assert "less than 2 seconds" in sd.estimate("course", cpu)
    monkeypatch.undo()
    assert 1e-4 < estimating.measure_speed(cpu, seconds=0.02) < 100


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_while_it_paints(course, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(course.unet, "forward", full)
    with pytest.raises(
        PaintingError, match=r"memory is full.*at_once=1.*side=256.*offload"
    ) as told:
        sd.paint(course, ["red hair"], [0])
    assert told.value.__cause__ is error


def test_memory_that_runs_out_while_it_is_loaded(folder, monkeypatch):
    from diffusers import UNet2DConditionModel

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(UNet2DConditionModel, "from_pretrained", full)
    refused(folder, "memory is full: mine did not fit")


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="a mistake of mine"), sd.explained():
        raise RuntimeError("a mistake of mine")


def test_a_picture_depends_on_its_own_seed_and_words_alone(course):
    together = sd.paint(course, PROMPTS, SEEDS, steps=3)
    parts = sd.paint(course, PROMPTS[::-1], SEEDS[::-1], steps=3, at_once=1)[::-1]
    assert np.abs(pixels(together) - pixels(parts)).max() <= 2
    assert np.abs(pixels(together)[0] - pixels(together)[1]).mean() > 5
    assert together[0].size == (64, 64)
    wide, *_ = sd.paint(course, PROMPTS[:1], [3], steps=1, side=72, negative="glasses")
    assert wide.size == (72, 72)


def test_it_paints_what_diffusers_paints_from_the_same_generator(course):
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        theirs = course(
            "blonde hair", num_inference_steps=10, guidance_scale=2.0, generator=generator
        )
    assert np.array_equal(pixels(theirs.images), pixels(sd.paint(course, ["blonde hair"], [5])))


def test_the_noise_is_the_same_in_every_precision(course):
    half = SimpleNamespace(vae=course.vae, vae_scale_factor=course.vae_scale_factor)
    drawn = sd.noise(half, [torch.Generator().manual_seed(seed) for seed in (0, 1)], 64)
    assert drawn.shape == (2, 4, 16, 16)
    assert drawn.dtype == torch.float32
    assert torch.equal(
        drawn[1:], torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    )


def test_a_bar_for_long_work_only(course, capsys):
    sd.paint(course, ["red hair"], [0], steps=2)
    assert capsys.readouterr().err == ""
    sd.paint(course, ["red hair"] * 2, [0, 1], steps=2, at_once=1, progress=True)
    assert "4/4" in capsys.readouterr().err


def test_a_pipeline_from_elsewhere_has_the_usual_steps(lesson_5s):
    about = sd.checkpoint_of(lesson_5s)
    assert (about.side, about.steps, about.guidance, about.prefix) == (64, 25, 7.5, "")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"prompts": "red hair"}, r"prompts is a text; write it in brackets: \['red hair'\]"),
        ({"prompts": []}, "prompts is a list of texts, one or more"),
        ({"prompts": [None]}, "prompts is a list of texts"),
        ({"seeds": 0}, "seeds is a list of whole numbers"),
        ({"seeds": [0.5]}, "seeds is a list of whole numbers"),
        ({"seeds": [0, 1]}, "1 prompts need as many seeds, and there are 2"),
        ({"seeds": [-1]}, "a seed is from 0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"guidance": -1}, "guidance is -1"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"side": 60}, "side is 60; it is a multiple of 8"),
        ({"at_once": 0}, "at_once is 0"),
        ({"negative": "hair", "guidance": 1}, "negative prompt has no effect at guidance 1"),
    ],
)
def test_what_does_not_fit(course, wrong, match):
    with pytest.raises(PaintingError, match=match):
        sd.paint(course, **({"prompts": ["red hair"], "seeds": [0]} | wrong))
