"""A data set by its name: every kind comes through its door, and a wrong name is told."""

import zipfile

import pytest
from scribbles import encoded, fill, noise

from course_lib import faces
from course_lib.faces import FacesError, streamed


def test_every_kind_of_source(held_out, tmp_path):
    assert faces.find("bundled").name == "bundled, train"
    assert faces.find("drawn:3", 32).images.shape == (3, 32, 32, 3)

    folder = fill(tmp_path / "pictures", "a.png", "b.png")
    assert faces.find(folder, 16).images.shape == (2, 16, 16, 3)
    assert isinstance(faces.find(str(folder), 16, stream=True), streamed.Streamed)

    (tmp_path / "tables").mkdir()
    held_out[:4].save(tmp_path / "tables" / "few.parquet")
    for source in (tmp_path / "tables", tmp_path / "tables" / "few.parquet"):
        found = faces.find(source)
        assert isinstance(found, streamed.Streamed)
        assert len(found) == 4

    (tmp_path / "archives").mkdir()
    with zipfile.ZipFile(tmp_path / "archives" / "data.zip", "w") as archive:
        archive.writestr("a.png", encoded(noise()))
    assert faces.find(tmp_path / "archives", 16).images.shape == (1, 16, 16, 3)


def test_a_data_set_of_the_hub(monkeypatch):
    asked = []
    monkeypatch.setattr("course_lib.faces.collected.from_hub", lambda *about: asked.append(about))
    faces.find("huggan/anime-faces", 32)
    assert asked == [("huggan/anime-faces", 32)]


@pytest.mark.parametrize("size", [8, 32, 65, 128])
def test_bundled_faces_of_another_size(size):
    message = (
        rf"bundled faces have 64 pixels, not {size}\. Faces of other sizes are drawn "
        r"\(drawn:6000\); the course's networks take 32, 64 or 128 pixels"
    )
    with pytest.raises(FacesError, match=message):
        faces.find("bundled", size)
    assert faces.find("drawn:2", size).images.shape[1] == size  # what it recommends can be had


@pytest.mark.parametrize(
    ("source", "size", "message"),
    [
        ("drawn:many", 64, "give a number of faces, such as drawn:20000"),
        ("drawn", 64, "give a number of faces, such as drawn:20000"),
        ("drawn:0", 64, "n is the number of faces, 1 or more, not 0"),
        ("bundled", 2000, "size is a whole number of pixels from 8 to 1024, not 2000"),
        ("notes.txt", 64, r"notes.txt is neither a folder of pictures nor a .parquet file"),
    ],
)
def test_what_is_wrong(monkeypatch, tmp_path, source, size, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(FacesError, match=message):
        faces.find(source, size)
