"""The committed painter: a diffusers pipeline that obeys, with and without this course."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.testing import assert_close

from course_lib import faces, pretrained, settings, text
from course_lib import latent_diffusion as ld

ROOT = Path(__file__).parent.parent
NAME = "faces-diffusion"
WEIGHTS = settings.data_dir() / "weights"


@pytest.fixture(scope="module", autouse=True)
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


@pytest.fixture(scope="module")
def painter():
    return ld.Painter()


def plain_script() -> str:
    """What README shows to those who do not want the course."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "DiffusionPipeline" in block]
    return script


def test_a_script_without_the_course_paints_the_same_twice(tmp_path):
    """As it stands in README, without a network, and where course_lib cannot be imported."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights").symlink_to(WEIGHTS, target_is_directory=True)
    (tmp_path / "plain.py").write_text(
        "import sys\nsys.modules['course_lib'] = None\n" + plain_script(), encoding="utf-8"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    painted = []
    for _ in range(2):
        command = [sys.executable, "plain.py"]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
        (picture,) = tmp_path.glob("*.png")
        painted.append(faces.from_folder(tmp_path).tensor())
        picture.unlink()
    assert_close(painted[0], painted[1], rtol=0, atol=0)
    assert painted[0].std() > 0.2


def test_it_obeys_in_both_languages(painter):
    for language in text.SAY:
        scores = text.in_brief(text.follow(painter, 100, seed=3, languages=[language]))
        assert scores["hair"] >= 0.97
        assert scores["eyes"] >= 0.85
        assert scores["mean"] >= 0.85


def test_older_transformers_find_the_words():
    """They look for `text_model.*`, and begin from chance with a mere warning where it is not."""
    path = pretrained.whole_folder(NAME) / "text_encoder" / "model.safetensors"
    with safe_open(path, "pt") as file:
        assert all(key.startswith("text_model.") for key in file.keys())  # noqa: SIM118


def test_its_autoencoder_is_the_course_s(painter):
    own = ld.load_autoencoder().state_dict()
    for name, value in painter.autoencoder.state_dict().items():
        assert_close(value.cpu(), own[name].cpu(), rtol=1e-3, atol=1e-4)


def test_one_noise_one_picture_whatever_is_beside_it(painter):
    alone = painter(["red eyes"], seed=4)
    pair = painter(["red eyes", "blue hair"], seed=4)
    assert_close(alone, pair[:1], rtol=0, atol=2e-2)
    assert torch.equal(alone, painter(["red eyes"], seed=4))
