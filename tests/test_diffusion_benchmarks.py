"""benchmarks/diffusion.py, skypaint.py and chain.py run, from the training to the table."""

import functools
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from course_lib import faces, metrics, pretrained, text
from course_lib import latent_diffusion as ld
from course_lib.latent_diffusion import flow

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    monkeypatch.syspath_prepend(SCRIPTS)  # as where a script is run
    monkeypatch.setattr(faces, "find", lambda _: faces.load("train")[:128])
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CHOSEN, module.PROMPTS = 6, ("red eyes",)
    return module


def main(module, *given) -> None:
    before, sys.argv = sys.argv, ["script.py", *map(str, given)]
    try:
        module.main()
    finally:
        sys.argv = before


class Nines:
    """A ruler that measures nothing: the real one has tests of its own, and takes long."""

    def __init__(self, *_):
        pass

    def values(self, images):
        assert images.shape[1:] == (3, 64, 64)
        names = ("frechet/convolution", "frechet/pixels", "precision", "recall")
        return dict.fromkeys(names, 9.0)


def test_arms_from_the_training_to_the_table(tmp_path, monkeypatch, capsys):
    bench = script("diffusion")
    monkeypatch.setattr(metrics, "Ruler", Nines)
    monkeypatch.setattr(bench.text, "held_out_captions", lambda: ["red eyes"] * 4)
    arms = ("ours", "filled up with [PAD]", "v-prediction", "in pixels")
    size = ["--run", tmp_path, "--seeds", 1, "--minutes", 0.02, "--channels", 16, 32]
    size += ["--arms", *arms, "--distances"]
    main(bench, "train", *size)
    done = [json.loads(path.read_text()) for path in tmp_path.glob("*/scores.json")]
    assert {one["arm"] for one in done} == set(arms)
    assert all(one["images"] > 0 and 0 <= one["hair"] <= 1 for one in done)
    monkeypatch.setattr(bench.ld, "build_painter", lambda *_, **__: pytest.fail("trained again"))
    main(bench, "train", *size)
    capsys.readouterr()
    main(bench, "table", *size, "--figures", tmp_path / "figures")
    for name in ("diffusion_arms.png", "diffusion_pixels.png"):
        assert (tmp_path / "figures" / name).stat().st_size > 1000
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(arms)
    assert all(line.count("|") == 10 for line in lines)


def test_a_u_net_of_v_prediction_walks_the_straight_road():
    """Who knows the data exactly, asked as v, sends every place straight to it."""
    bench = script("diffusion")
    data = torch.full((2, 4, 16, 16), 0.7)

    class Knows(torch.nn.Module):
        config = None

        def forward(self, place, times, _):
            angle = (times / 1000 * torch.pi / 2).view(-1, 1, 1, 1)
            noise = (place - angle.cos() * data) / angle.sin()
            v = angle.cos() * noise - angle.sin() * data
            return bench.SimpleNamespace(sample=v)

    noise = torch.randn(data.shape)
    for time in (0.1, 0.5, 0.9):
        place = flow.add_noise(data, noise, time)
        answer = bench.Round(Knows())(place, torch.full((2,), 1000 * time), None).sample
        torch.testing.assert_close(answer, noise - data, rtol=1e-3, atol=1e-3)


def test_both_painters_by_all_rulers(monkeypatch, capsys):
    bench = script("diffusion")
    monkeypatch.setattr(metrics, "Ruler", Nines)
    monkeypatch.setattr(bench.text, "held_out_captions", lambda: ["red eyes"] * 4)
    main(bench, "painters")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    for name in ("GAN", "diffusion"):
        assert [row.count("|") for row in rows if name in row] == [7, 7, 8, 8]
    assert "100.0%" in rows[-1]  # real eyes match


@pytest.mark.parametrize(("what", "rows"), [("steps", 8), ("guidance", 10)])
def test_accuracy_as_a_curve(what, rows, tmp_path, monkeypatch, capsys):
    bench = script("diffusion")
    monkeypatch.setattr(metrics, "Ruler", Nines)
    monkeypatch.setattr(bench.text, "held_out_captions", lambda: ["red eyes"] * 4)
    monkeypatch.setattr(bench, "_seconds", lambda paint: 0.1)
    main(bench, what, "--figures", tmp_path, "--distances")
    assert len(capsys.readouterr().out.splitlines()) == 2 + rows
    assert (tmp_path / f"diffusion_{what}.png").stat().st_size > 1000


def test_latents_beside_pixels(capsys):
    main(script("diffusion"), "space", "--channels", 16, 32)
    rows = capsys.readouterr().out.splitlines()[2:]
    numbers = [[float(cell.strip(" M").replace(",", "")) for cell in row.split("|")[2:7]]
               for row in rows]  # fmt: skip
    assert [row[0] for row in numbers] == [1024, 12288]
    assert numbers[1][3] > 4 * numbers[0][3]  # memory


def test_chinese_for_an_english_painter(tmp_path, monkeypatch, capsys):
    bench = script("skypaint")
    bench.PROMPTS = ("red eyes", "红眼睛")
    given = ["--run", tmp_path, "--seeds", 1, "--minutes", 0.02, "--minutes-text", 0.02]
    given += ["--channels", 16, 32]
    main(bench, *given, "--minutes-distilling", 0.02)
    out = capsys.readouterr().out
    assert out.count("| en |") == out.count("| zh |") == 3
    assert "distilling:" in out
    assert (tmp_path / "0" / "scores.json").exists()
    assert (tmp_path / "0" / "chinese.png").exists()

    save, kept = bench.pretrained.save, tmp_path / "weights"
    monkeypatch.setattr(bench.pretrained, "save", functools.partial(save, folder=kept))
    main(bench, *given, "--export")
    unet = pretrained.load("faces-english", ld.new_unet, kept)
    encoder = pretrained.load("text-english", text.TextEncoder, kept)
    assert ld.Painter(unet, ld.load_autoencoder(), encoder)(["red eyes"]).isfinite().all()


def test_the_chain_s_painter_learns_in_what_is_left_and_leaves_a_log(tmp_path, monkeypatch):
    """Its text encoder and autoencoder are `course train`'s own; here they are small, untrained."""
    bench = script("chain")
    bench.CHOSEN = {"on the way": 2, "end": 4}

    def side_by_side(options):
        small = (8, 16, 16)
        pretrained.save(
            "autoencoderkl", ld.new_autoencoder(small), folder=options.run / "autoencoder",
            config=ld.autoencoder.config_of(small), training={"images": 0},
        )  # fmt: skip
        about = pretrained.describe("text")
        clip = pretrained.load("text", text.Clip)
        folder = options.run / "text"
        pretrained.save("clip", clip, config=about["config"], training={"images": 0}, folder=folder)

    monkeypatch.setattr(bench, "side_by_side", side_by_side)
    monkeypatch.setattr(bench, "MARK", 1e-3)
    figures = tmp_path / "figures"
    figures.mkdir()
    main(bench, "--run", tmp_path / "run", "--minutes", 0.3, "--threads", 1, "--figures", figures)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["at"] == "end"
    assert len(lines) >= 2
    assert all(0 <= line["hair"] <= 1 for line in lines)
    assert (figures / "chain.webp").stat().st_size > 1000
