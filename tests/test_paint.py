"""`course paint`: from a prompt to a picture, and what it says when something is odd."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from typer.testing import CliRunner

from course_lib import cli, latent_diffusion, text
from course_lib import conditional_gan as cgan


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)


def paint(*words, status: int = 0) -> str:
    result = CliRunner().invoke(cli.app, ["paint", *map(str, words)])
    assert result.exit_code == status, result.output + str(result.exception)
    return result.output


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("model", "took", "room"),
    [
        ([], "faces-diffusion: 585,760 images in 142 minutes", "diffusion"),  # of two trainings
        (["--model", "gan"], "faces-words: 600,000 images in 53 minutes", "conditional_gan"),
    ],
)
def test_it_says_who_paints_and_paints_what_it_is_told(model, took, room):
    said = paint("红眼睛，蓝色长发", *model, "-n", 16, "-o", "out.png", "--attributes")
    first, *lines = said.splitlines()
    assert re.match(rf"{took} \(.+\), course train {room} ", first)
    assert pixels("out.png").shape == (2 * 64 + 2, 8 * 64 + 7 * 2, 3)
    seen = [line for line in lines if re.match(r"\d+: ", line)]
    assert len(seen) == 16
    assert sum("✓ hair color: blue" in line for line in seen) >= 13
    assert all("mouth" in line for line in seen)
    assert lines[-1] == "16 faces: out.png"


def test_the_same_seed_paints_the_same_and_another_one_others():
    for seed, out in ((1, "a.png"), (1, "b.png"), (2, "c.png")):
        paint("red hair", "-n", 2, "--seed", seed, "-o", out)
    assert (pixels("a.png") == pixels("b.png")).all()
    assert (pixels("a.png") != pixels("c.png")).any()


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("", "Nothing is asked for"),
        ("qwertz 🙂", "Unknown words, which say nothing to it: qwertz, 🙂"),
        ("red eyes, blue eyes", "The eye color cannot be red and blue at once; either counts."),
        ("red eyes " * 1200, "The prompt is too long; left out: red eyes"),
        ("RED EYES，藍頭髮", "2 faces: out.jpg"),
        ("red eyes and 蓝色长发", "2 faces: out.jpg"),
    ],
)
@pytest.mark.filterwarnings("ignore:the prompt is too long")
def test_odd_prompts_are_painted_and_told(prompt, told):
    said = paint(prompt, "-n", 2, "-o", "out.jpg")
    assert told in said
    assert pixels("out.jpg").std() > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "oil"], "there is no model 'oil'; known: diffusion, gan"),
        (["--model", "gan", "--steps", "4"], "the GAN paints in one step: it has no --steps"),
        (["--model", "gan", "--guidance", "2"], "it has no --guidance"),
        (["--steps", "0"], "steps is 0; choose a whole number from 1, such as 10"),
        (["--guidance", "-1"], "guidance is -1.0; choose 0 or more"),
        (["--size", "60"], "size is 60; choose a multiple of 8 from 32 to 512"),
        (["-o", "out.txt"], "out.txt names no picture: end it with .png, .webp, .jpg"),
        (["-o", "no such folder/out.png"], "No such file or directory"),
    ],
)
def test_bad_input_says_what_to_do(words, message):
    said = paint("red eyes", *words, status=1)
    assert message in said
    assert "Traceback" not in said


def test_where_nothing_is_asked_for_any_face_will_do():
    painter = cgan.Painter()
    empty = painter(["", "🎨", "red hair"], seed=5)
    assert (empty[0] - empty[1]).abs().mean() > 0.1
    torch.testing.assert_close(painter(["red hair"] * 3, seed=5)[2], empty[2])
    torch.testing.assert_close(painter(["", "🎨", "red hair"], seed=5), empty)


@pytest.mark.parametrize("room", [cgan, latent_diffusion])
def test_a_painter_in_a_cell_warns_of_unknown_words(room):
    with pytest.warns(text.UnknownWords, match=r"grey \(gray\?\)$") as seen:
        room.Painter()(["grey hair"])
    assert seen[0].filename == __file__  # the line that asked is named


def test_a_painter_paints_many_prompts_each_by_itself():
    painter = cgan.Painter()
    images = painter(["red hair", "蓝头发", "green hair"], seed=5)
    assert images.shape == (3, 3, 64, 64)
    assert images.abs().max() <= 1


def test_a_png_says_how_it_was_made():
    prompt = "红眼睛, long blue hair"
    paint(prompt, "-n", 4, "--seed", 7, "--steps", 4, "-o", "out.png")
    with Image.open("out.png") as picture:
        notes = picture.text
    wanted = {"prompt": prompt, "seed": "7", "number": "4", "model": "faces-diffusion"}
    wanted |= {"steps": "4", "guidance": "2.0", "size": "64"}
    assert {name: notes[name] for name in wanted} == wanted
    assert re.fullmatch("[0-9a-f]{12}", notes["weights"])
    hair = re.fullmatch(r"(\d) of 4", notes["judge: hair color: blue"])
    assert int(hair[1]) >= 3
    paint(notes["prompt"], "-n", 4, "--seed", notes["seed"], "--steps", 4, "-o", "again.png")
    assert np.array_equal(pixels("out.png"), pixels("again.png"))


@pytest.mark.parametrize("name", ["out.webp", "out.jpg"])
def test_other_files_say_it_in_exif(name):
    paint("red eyes", "--model", "gan", "-n", 2, "-o", name)
    with Image.open(name) as picture:
        notes = json.loads(picture.getexif()[ExifTags.Base.ImageDescription])
    assert notes["prompt"] == "red eyes"
    assert notes["model"] == "faces-words"
    assert "steps" not in notes
    assert re.fullmatch(r"\d of 2", notes["judge: eye color: red"])


def test_a_picture_of_another_size_is_not_judged():
    paint("red eyes", "-n", 1, "--size", 96, "--steps", 2, "-o", "out.png")
    with Image.open("out.png") as picture:
        assert picture.text["size"] == "96"
        assert not [name for name in picture.text if name.startswith("judge")]
