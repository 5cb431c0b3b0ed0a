"""benchmarks/craft.py and lora.py run, from the training to the table."""

import functools
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from course_lib import faces, metrics
from course_lib import stable_diffusion as sd

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


def main(monkeypatch, name: str, *given) -> object:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, given)])
    return module


def test_each_table_of_the_craft(monkeypatch, capsys):
    for what, number, lines in (
        ("inpainting", 4, 9),
        ("samplers", 8, 12),
        ("negative", 2, 7),
        ("anagrams", 2, 2),
    ):
        with torch.no_grad():
            main(monkeypatch, "craft", what, "--number", number).main()
        assert len(capsys.readouterr().out.splitlines()) == lines, what


def test_a_lora_from_the_drawings_to_the_weights(tmp_path, monkeypatch, capsys):
    bench = main(
        monkeypatch, "lora", "--images", 32, "--drawings", 16, "--number", 32, "--decoded", 8,
        "--picture", tmp_path / "rows.png", "--export",
    )  # fmt: skip
    render = faces.render
    monkeypatch.setattr(
        bench.faces, "render", lambda n, **options: render(n, **options, cache=False)
    )
    monkeypatch.setattr(metrics, "FLOOR_SETS", 2)
    save = functools.partial(bench.pretrained.save_folder, folder=tmp_path)
    monkeypatch.setattr(bench.pretrained, "save_folder", save)
    bench.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| LoRA")]
    assert len(rows) == 5
    assert (tmp_path / "rows.png").is_file()
    pipeline = sd.load("course")
    folder = bench.pretrained.whole_folder("faces-lorelei-lora", tmp_path)
    pipeline.load_lora_weights(folder)
    pipeline.vae.load_lora_adapter(folder, "vae", weight_name=bench.lora.FILE)
    assert pipeline.unet.peft_config
    assert pipeline.vae.peft_config
