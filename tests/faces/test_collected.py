"""Other people's pictures: all that can be read comes, and the rest is told."""

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scribbles import ROOT, encoded, noise

from course_lib import faces
from course_lib.faces import FacesError


# --- a folder of pictures -------------------------------------------------------------------------
def test_folder_of_all_sorts(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    red = Image.new("RGB", (90, 60), "red")
    rgba = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    grey16 = Image.fromarray(np.full((64, 64), 0x8000, np.uint16))
    pictures = {
        "a.png": encoded(red),
        "b.JPG": encoded(red, "JPEG", quality=95),
        "c.webp": encoded(red, "WEBP", lossless=True),
        "d.bmp": encoded(red, "BMP"),
        "e.gif": encoded(red, "GIF"),
        "deep/f.png": encoded(red.convert("P")),
        "deep/g.jpeg": encoded(red.convert("CMYK"), "JPEG", quality=95),
        "deep/h.png": encoded(rgba),
        "deep/i.png": encoded(Image.new("L", (64, 64), 128)),
        "deep/er/j.png": encoded(grey16),
        ".hidden.png": b"no picture",
        "notes.txt": b"no picture",
    }
    for name, content in pictures.items():
        (tmp_path / name).write_bytes(content)
    found = faces.from_folder(tmp_path, size=32)
    assert found.images.shape == (10, 32, 32, 3)
    middle = {
        name: found.images[i, 16, 16].tolist()
        for i, name in enumerate(
            sorted(n for n in pictures if n not in (".hidden.png", "notes.txt"))
        )
    }
    for name in ("a.png", "b.JPG", "c.webp", "d.bmp", "e.gif", "deep/f.png", "deep/g.jpeg"):
        assert np.allclose(middle[name], [255, 0, 0], atol=6), (name, middle[name])
    assert middle["deep/h.png"] == [255, 255, 255]
    assert middle["deep/i.png"] == [128, 128, 128]
    assert middle["deep/er/j.png"] == [128, 128, 128]
    assert (found.attributes, found.captions_en, found.name) == (None, None, tmp_path.name)


def test_pictures_are_cropped_from_the_middle_and_smoothed(tmp_path):
    stripes = np.zeros((100, 300, 3), np.uint8)
    stripes[:, 100:200] = 255  # the middle square is white
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    fine = np.zeros((256, 256, 3), np.uint8)
    fine[::2] = 255
    Image.fromarray(fine).save(tmp_path / "zebra.png")
    wide, zebra = faces.from_folder(tmp_path).images[[0, 1]]
    assert zebra.mean() == pytest.approx(127.5, abs=2)
    assert zebra[8:-8].std() < 5  # grey, not stripes
    assert wide[:, 2:-2].min() > 240


def test_unreadable_files_are_skipped_and_counted(tmp_path):
    (tmp_path / "good.png").write_bytes(encoded(noise()))
    (tmp_path / "cut.png").write_bytes(encoded(noise())[:2000])
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "empty.gif").write_bytes(b"")
    with pytest.warns(
        UserWarning,
        match=r"3 of 4 pictures in .* cannot be read and are skipped, for example cut.png",
    ):
        assert len(faces.from_folder(tmp_path)) == 1
    (tmp_path / "good.png").unlink()
    with pytest.raises(FacesError, match=r"None of the 3 pictures in .* can be read"):
        faces.from_folder(tmp_path)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FacesError, match=r"There is no folder .*nowhere. This notebook works in"):
        faces.from_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no pictures here")
    with pytest.raises(
        FacesError, match=r"There are no pictures in .*: no file ends in .bmp, .gif, .jpeg"
    ):
        faces.from_folder(tmp_path)
    with pytest.raises(FacesError, match=r"notes.txt is a file. Give the folder"):
        faces.from_folder(tmp_path / "notes.txt")
    with pytest.raises(FacesError, match=r"size is a whole number"):
        faces.from_folder(tmp_path, size=0)


@pytest.mark.parametrize("door", [faces.from_folder, faces.from_hub, faces.stream, faces.find])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_not_the_folder_one_works_in(monkeypatch, tmp_path, door, empty):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private.png").write_bytes(encoded(noise()))
    with pytest.raises(FacesError, match=r"The name is empty. Give .*(folder|data set)"):
        door(empty)
    assert len(faces.from_folder(".")) == 1


# --- the Hub --------------------------------------------------------------------------------------
@pytest.fixture
def hub(monkeypatch, tmp_path) -> Path:
    """A folder laid out like huggan/anime-faces: README.md and data.zip, full of PNGs."""
    repository = tmp_path / "anime-faces"
    repository.mkdir()
    (repository / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Anime faces\n")
    with zipfile.ZipFile(repository / "data.zip", "w") as archive:
        for i in range(6):
            archive.writestr(f"data/{i}.png", encoded(noise(64, 64, seed=i)))
        archive.writestr("images/data/0.png", encoded(noise(64, 64, seed=0)))  # once more
        archive.writestr("__MACOSX/data/._0.png", b"no picture")
        archive.writestr("data/broken.png", b"no picture")
    return repository


def test_hub_repository_with_a_zip(hub):
    with pytest.warns(UserWarning, match=r"1 of 7 pictures in anime-faces .*data/broken.png"):
        found = faces.from_hub(hub)
    assert len(found) == 6
    assert np.array_equal(found.images[5], np.asarray(noise(64, 64, seed=5)))
    assert len(faces.from_hub(str(hub), size=16, limit=2)) == 2
    (hub / "data.zip").write_bytes((hub / "data.zip").read_bytes()[:3000])
    with pytest.raises(FacesError, match=r"data.zip is not a whole zip file. Delete it and fetch"):
        faces.from_hub(hub)


def test_hub_repository_with_parquet(monkeypatch, tmp_path, bundled):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    (tmp_path / "mine").mkdir()
    bundled[:5].save(tmp_path / "mine" / "train.parquet")
    assert np.array_equal(faces.from_hub(tmp_path / "mine").images, bundled.images[:5])
    assert len(faces.from_hub(tmp_path / "mine", limit=2)) == 2
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FacesError, match=r"table has no column of images; its columns are: a, b"):
        faces.from_hub(tmp_path / "table")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacesError, match=r"There are no pictures in .*empty"):
        faces.from_hub(tmp_path / "empty")


def test_hub_files_that_were_fetched(monkeypatch, hub):
    """The same files when they come from the Hub, by way of huggingface_hub's own functions."""
    from types import SimpleNamespace

    import huggingface_hub

    files = ["README.md", "data.zip", "images/1.png", "images/more.zip"]
    info = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in files])
    asked = []

    def download(dataset_id: str, name: str, repo_type: str) -> str:
        asked.append((dataset_id, name, repo_type))
        return str(hub / name)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert len(faces.from_hub("huggan/anime-faces", limit=3)) == 3
    assert asked == [("huggan/anime-faces", "data.zip", "dataset")]


OFFLINE_ADVICE = (
    r"Could not get huggan/anime-faces .* faces.load\(\), or .* faces.from_folder\(path\)"
)


def test_no_network(monkeypatch, hub):
    import huggingface_hub

    def no_network(*_, **__):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", no_network)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub / "nothing"))
    start = time.perf_counter()
    with pytest.raises(FacesError, match=OFFLINE_ADVICE):
        faces.from_hub("huggan/anime-faces")
    assert time.perf_counter() - start < 5
    # What was fetched before is still found.
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(hub))
    assert len(faces.from_hub("huggan/anime-faces", limit=3)) == 3


def test_told_to_stay_offline(tmp_path):
    code = "from course_lib import faces; faces.from_hub('huggan/anime-faces')"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert re.search(OFFLINE_ADVICE, run.stderr)


def test_no_such_data_set(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    def not_found(*_, **__):
        raise RepositoryNotFoundError.__new__(
            RepositoryNotFoundError
        )  # without an answer's details

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", not_found)
    with pytest.raises(FacesError, match=r"There is no data set 'huggan/anime-fases' on the Hub"):
        faces.from_hub("huggan/anime-fases")
    with pytest.raises(FacesError, match=r"limit is a number of pictures, 1 or more"):
        faces.from_hub("huggan/anime-faces", limit=0)
