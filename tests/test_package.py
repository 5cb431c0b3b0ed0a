"""The wheel, on its own: installed far from the checkout, it brings the data with it."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from course_lib import pretrained
from tools.notebooks import ROOT

pytestmark = pytest.mark.slow

PROBE = """
import importlib
import json
import course_lib
from course_lib import cli, faces, latent_diffusion, novelty, pretrained, settings
from course_lib import stable_diffusion, text

builders = {
    "UNet2DConditionModel": latent_diffusion.new_unet,
    "TextEncoder": text.TextEncoder,
    "Pair": novelty.Pair,
}
networks = []
for name in pretrained.names():
    about = pretrained.describe(name)
    words = about["training"]["command"].split()  # `course train ROOM …`, or a benchmark's
    room = cli.SHORT.get(words[2], words[2]) if words[0] == "course" else "dcgan"
    room = importlib.import_module(f"course_lib.{room}")
    if "model_index.json" in about.get("files", ()):
        networks.append(room.load_painter(name))
    elif "folder" in about:  # a LoRA
        pipeline = stable_diffusion.load("course")
        pipeline.load_lora_weights(pretrained.whole_folder(name), adapter_name=name)
        networks.append(pipeline.unet)
    else:
        build = builders.get(about["network"]) or getattr(room, about["network"])
        networks.append(pretrained.load(name, build))
print(json.dumps({
    "library": course_lib.__file__,
    "data": str(settings.data_dir()),
    "faces": faces.load("all").images.shape,
    "networks": len(networks),
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of a new environment that holds the wheel.

    Its dependencies are the ones of this environment: a `.pth` file lends them, the checkout apart.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")

    home = folder / "venv"
    venv.create(home)
    scripts = home / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True)

    variables = {"base": home, "platbase": home}
    site_packages = Path(sysconfig.get_path("purelib", "venv", vars=variables))
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "lent.pth").write_text("\n".join(lent), encoding="utf-8")
    return python


def test_wheel_brings_faces_and_weights(python, tmp_path):
    done = subprocess.run(
        [python, "-I", "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    home = python.parent.parent
    assert Path(found["library"]).is_relative_to(home)
    assert Path(found["data"]).is_relative_to(home)
    assert found["faces"] == [6_000, 64, 64, 3]
    assert found["networks"] == len(pretrained.names())
