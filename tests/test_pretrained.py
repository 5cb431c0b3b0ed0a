"""Weights come back as they were saved; what is not what the manifest says is not loaded."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import cli, dcgan, pretrained, settings
from course_lib.files import sha256
from course_lib.pretrained import PretrainedError
from course_lib.training import Snapshot


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture
def saved(tmp_path):
    """A folder with one small generator, and that generator."""
    config = {"width": 4, "image_size": 32}
    generator = dcgan.Generator(**config).apply(dcgan.initialise_weights).eval()
    film = [
        Snapshot(step, np.full((8, 32, 32, 3), shade, np.uint8), {"D(x) learnt": 0.5})
        for step, shade in ((0, 10), (100, 200))
    ]
    pretrained.save(
        "small", generator, config=config, training={"images": 800}, film=film, folder=tmp_path
    )
    return tmp_path, generator


def test_saved_network_comes_back(saved):
    folder, generator = saved
    loaded = pretrained.load("small", dcgan.Generator, folder)
    assert not loaded.training
    assert pretrained.names(folder) == ["small"]
    assert pretrained.describe("small", folder)["training"] == {"images": 800}
    noise = torch.randn(4, dcgan.NOISE_SIZE)
    with torch.no_grad():  # 16 bits a weight: less than one of 256 levels away
        assert (loaded(noise) - generator(noise)).abs().max() < 1 / 128


def test_film_comes_back_in_order(saved):
    folder, _ = saved
    first, second = pretrained.film("small", folder)
    assert (first.step, second.step) == (0, 100)
    assert first.pictures.shape == (8, 32, 32, 3)
    assert abs(int(first.pictures.mean()) - 10) < 5
    assert abs(int(second.pictures.mean()) - 200) < 5
    assert first.measures == {"D(x) learnt": 0.5}


@pytest.mark.parametrize("number", [1, 7, 12])
def test_film_of_any_number_of_faces(tmp_path, number):
    pictures = np.arange(number, dtype=np.uint8)[:, None, None, None] * 20
    pictures = np.broadcast_to(pictures, (number, 16, 16, 3)).copy()
    film = [Snapshot(0, pictures), Snapshot(10, pictures[::-1].copy())]
    generator = dcgan.Generator(width=4, image_size=32)
    pretrained.save("small", generator, config={}, training={}, film=film, folder=tmp_path)
    for before, after in zip(film, pretrained.film("small", tmp_path), strict=True):
        assert after.pictures.shape == before.pictures.shape
        assert np.abs(after.pictures.astype(int) - before.pictures).max() < 8


def test_weights_that_went_on_say_what_was_before(saved):
    folder, _ = saved
    more = [Snapshot(step, np.full((10, 8, 8, 3), 9, np.uint8), {"loss": 1.0}) for step in (0, 7)]
    noted = pretrained.continued("small", {"images": 100}, more, folder)
    assert noted["training"] == {"images": 100, "before": {"images": 800}}
    past = pretrained.film("small", folder)
    assert [one.step for one in noted["film"]] == [one.step for one in past] + [past[-1].step + 7]
    assert pretrained.continued("small", {"images": 100}, (), folder)["film"] == []


def test_a_film_shows_the_beginning_closely_and_no_moment_without_pictures():
    steps = [0, 1, 2, 3, 5, 8, 20, 50, 100]
    snapshots = [Snapshot(step, np.zeros((40, 8, 8, 3), np.uint8)) for step in steps]
    snapshots[1] = Snapshot(1, np.zeros((0, 8, 8, 3), np.uint8))  # its file is lost
    film = pretrained.choose_moments(snapshots, moments=5, faces=6)
    assert [moment.step for moment in film] == [0, 2, 8, 50, 100]
    assert film[0].pictures.shape == (6, 8, 8, 3)
    assert pretrained.choose_moments(snapshots[1:2]) == []


def test_unknown_name_lists_the_known_ones(saved):
    with pytest.raises(PretrainedError, match="named 'smal'; known names: small"):
        pretrained.load("smal", dcgan.Generator, saved[0])


def test_empty_folder_has_none_yet(tmp_path):
    with pytest.raises(PretrainedError, match="known names: none yet"):
        pretrained.load("small", dcgan.Generator, tmp_path)


@pytest.mark.parametrize("name", ["small.safetensors", "small-film.webp"])
def test_changed_file_is_not_loaded(saved, name):
    path = saved[0] / name
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    read = pretrained.film if name.endswith("webp") else pretrained.load
    arguments = () if name.endswith("webp") else (dcgan.Generator,)
    with pytest.raises(PretrainedError, match=r"SHA-256 .* is not loaded\. Install"):
        read("small", *arguments, folder=saved[0])


def test_missing_file_says_so(saved):
    (saved[0] / "small.safetensors").unlink()
    with pytest.raises(PretrainedError, match=r"small\.safetensors is missing from"):
        pretrained.load("small", dcgan.Generator, saved[0])


def test_pickle_with_the_right_hash_is_not_loaded(saved):
    folder, generator = saved
    path = folder / "small.safetensors"
    torch.save(generator.state_dict(), path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["small"]["sha256"] = sha256(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PretrainedError, match="does not fit Generator"):
        pretrained.load("small", dcgan.Generator, folder)


def test_another_network_is_told_apart(saved):
    with pytest.raises(PretrainedError, match="does not fit Generator"):
        pretrained.load("small", lambda width, image_size: dcgan.Generator(width=8), saved[0])


def test_broken_manifest(saved):
    (saved[0] / "manifest.json").write_text("{")
    with pytest.raises(PretrainedError, match=r"manifest\.json .* is not valid JSON"):
        pretrained.names(saved[0])


def test_network_without_film(tmp_path):
    generator = dcgan.Generator(width=4, image_size=32)
    pretrained.save("small", generator, config={}, training={}, folder=tmp_path)
    with pytest.raises(PretrainedError, match="'small' has no film"):
        pretrained.film("small", tmp_path)


def test_spoilt_weights_are_not_saved(tmp_path):
    generator = dcgan.Generator(width=4, image_size=32)
    with torch.no_grad():
        generator.main[0].weight[0, 0] = 1e6  # more than 16 bits can hold
    with pytest.raises(PretrainedError, match=r"main\.0\.weight has values .*not finite"):
        pretrained.save("small", generator, config={}, training={}, folder=tmp_path)
    assert pretrained.names(tmp_path) == []
    assert not list(tmp_path.glob("*.safetensors"))


def test_only_the_courses_own_folder_takes_no_large_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "data_dir", lambda: tmp_path)
    large = dcgan.Generator(width=128)
    with pytest.raises(PretrainedError, match="a file of the repository may have 16"):
        pretrained.save("large", large, config={}, training={})
    assert pretrained.names() == []
    assert not list(tmp_path.rglob("*.safetensors"))
    pretrained.save("large", large, config={"width": 128}, training={}, folder=tmp_path / "run")
    assert pretrained.names(tmp_path / "run") == ["large"]


# The committed weights


@pytest.mark.parametrize("name", pretrained.names())
def test_committed_weights_are_whole_and_small(name):
    about = pretrained.describe(name)
    if "files" in about:  # a folder of them
        hashes = {f"{name}/{file}": value for file, value in about["files"].items()}
    else:
        hashes = {about["file"]: about["sha256"]}
    if "film" in about:
        hashes[about["film"]["file"]] = about["film"]["sha256"]
    for file, value in hashes.items():
        path = settings.data_dir() / "weights" / file
        assert sha256(path) == value
        assert path.stat().st_size <= pretrained.LARGEST_FILE


def test_a_folder_comes_back_whole_or_not_at_all(tmp_path):
    def write(folder):
        (folder / "part").mkdir()
        (folder / "part" / "numbers.txt").write_text("1 2 3")
        (folder / "index.json").write_text("{}")

    for _ in range(2):  # the second time in the place of the first
        pretrained.save_folder("pipeline", write, training={"images": 1}, folder=tmp_path)
    path = pretrained.whole_folder("pipeline", tmp_path)
    assert (path / "part/numbers.txt").read_text() == "1 2 3"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["manifest.json", "pipeline"]
    with pytest.raises(PretrainedError, match="whole_folder"):
        pretrained.load("pipeline", dcgan.Generator, tmp_path)
    (path / "part/numbers.txt").write_text("1 2 4")
    with pytest.raises(PretrainedError, match="damaged or was changed"):
        pretrained.whole_folder("pipeline", tmp_path)
    (path / "part/numbers.txt").unlink()
    with pytest.raises(PretrainedError, match="missing"):
        pretrained.whole_folder("pipeline", tmp_path)


def test_what_was_there_stays_when_writing_fails(tmp_path):
    def write(folder):
        (folder / "numbers.txt").write_text("1")

    def fail(folder):
        (folder / "numbers.txt").write_text("2")
        raise OSError("disk full")

    pretrained.save_folder("pipeline", write, training={}, folder=tmp_path)
    with pytest.raises(OSError, match="disk full"):
        pretrained.save_folder("pipeline", fail, training={}, folder=tmp_path)
    assert (pretrained.whole_folder("pipeline", tmp_path) / "numbers.txt").read_text() == "1"


@pytest.mark.parametrize("name", pretrained.names())
def test_the_manifest_names_the_command_that_makes_these_weights_again(name):
    took = pretrained.describe(name)["training"]
    if took["command"].startswith("python benchmarks/"):
        assert Path(took["command"].split()[1]).name in (
            "gan.py",
            "halves.py",
            "lora.py",
            "skypaint.py",
        )
        return  # tests of the benchmarks run them
    course, train, room, *options = took["command"].split()
    assert (course, train) == ("course", "train")
    options = dict(zip(options[:-1:2], options[1::2], strict=True))
    _, _, preset = cli._preset(room, options["--preset"])
    assert preset.weights == name
    assert json.loads(json.dumps(dataclasses.asdict(preset.recipe))) == took["recipe"]
    assert options["--precision"] == took["precision"]
    if took["images"] != preset.images:  # the time was up first
        assert float(options["--minutes"]) == took["minutes"]


@pytest.mark.parametrize(
    ("name", "network"),
    [("faces-dcgan", dcgan.Generator), ("faces-styled", dcgan.StyledGenerator)],
)
def test_committed_generators_paint_varied_colourful_faces(name, network):
    generator = pretrained.load(name, network)
    noise = torch.randn(64, dcgan.NOISE_SIZE, generator=torch.Generator().manual_seed(0))
    images = dcgan.paint(generator, noise)
    assert images.shape == (64, 3, 64, 64)
    hair = images[:, :, 8:20, 20:44].mean((2, 3))  # where the hair is: every face has its own
    assert hair.std(0).min() > 0.2
    distances = torch.cdist(images.flatten(1), images.flatten(1))
    distances.fill_diagonal_(float("inf"))
    assert distances.min() > 10  # no two of them alike
