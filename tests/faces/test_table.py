"""The table of faces: the bundled one, what can be asked of one, its file."""

import hashlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scribbles import BUNDLED_SEED, ROOT

from course_lib import faces, settings
from course_lib.faces import FacesError, table


# --- the bundled faces ----------------------------------------------------------------------------
def test_bundled_splits_are_fixed(bundled):
    train, held_out = faces.load("train"), faces.load("held-out")
    assert (len(train), len(held_out), len(bundled)) == (5400, 600, 6000)
    assert train.images.shape == (5400, 64, 64, 3)
    assert held_out.seeds[:2] == [f"{BUNDLED_SEED}-9", f"{BUNDLED_SEED}-19"]
    assert not set(train.seeds) & set(held_out.seeds)
    assert np.array_equal(held_out.images, bundled.images[9::10])


def test_bundled_file_is_the_one_on_its_card():
    path = settings.data_dir() / "faces.parquet"
    assert path.stat().st_size < 16 * 2**20
    card = (settings.data_dir() / "README.md").read_text(encoding="utf-8")
    assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in card


def test_card_tells_the_shares(bundled):
    card = (settings.data_dir() / "README.md").read_text(encoding="utf-8")
    for name in faces.attribute_values():
        counts = Counter(face[name] for face in bundled.attributes)
        row = next(line for line in card.splitlines() if line.startswith(f"| `{name}` |"))
        for value, count in counts.items():
            assert f"{value} {100 * count / 6000:.1f}" in row


def test_bundled_faces_are_all_different(bundled):
    assert len({image.tobytes() for image in bundled.images}) == 6000


def test_style_has_what_the_course_needs():
    values = {name: [v for v in of if v != "no"] for name, of in faces.attribute_values().items()}
    wanted = {"hair_color": 12, "eye_color": 10, "back_hair": 6, "fringe": 5, "mouth": 5, "skin": 4}
    assert all(len(values[name]) >= number for name, number in wanted.items())
    assert {"closed", "wink"} < set(values["eye_shape"])
    assert len(values["eye_shape"]) >= 4
    assert {"glasses", "ribbon", "cat_ears", "blush", "clothes", "background"} < set(values)


def test_every_value_occurs_about_as_often_as_it_should(bundled):
    for name, values in faces.attribute_values().items():
        counts = Counter(face[name] for face in bundled.attributes if face[name] != "hidden")
        assert set(counts) == set(values)
        assert min(counts.values()) > 300, name
    hair = Counter(face["hair_color"] for face in bundled.attributes)
    assert max(hair.values()) < 1.25 * min(hair.values())


def test_hidden_is_exactly_what_cannot_be_seen(bundled):
    for face in bundled.attributes:
        assert (face["eye_color"] == "hidden") == (face["eye_shape"] == "closed")
        assert (face["ribbon_color"] == "hidden") == (face["ribbon"] == "no")
        assert "hidden" not in (face["hair_color"], face["back_hair"], face["mouth"])


def test_other_programs_can_read_the_file():
    import datasets

    path = str(settings.data_dir() / "faces.parquet")
    rows = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
    row = next(iter(rows))
    assert row["image"].size == (64, 64)
    assert {"seed", "attributes", "caption_en", "caption_zh", "split"} < set(row)


def test_unknown_split():
    with pytest.raises(
        FacesError, match=r"Unknown split 'trian'. Did you mean 'train'\? .*held-out"
    ):
        faces.load("trian")


def test_missing_and_damaged_bundle(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "data_dir", lambda: tmp_path)
    with pytest.raises(FacesError, match=r"faces.parquet is missing: .*build_faces.py"):
        faces.load()
    whole = (ROOT / "data" / "faces.parquet").read_bytes()
    (tmp_path / "faces.parquet").write_bytes(whole[:100_000])
    with pytest.raises(FacesError, match=r"faces.parquet is damaged .* fetch or make it again"):
        faces.load()


# --- Faces ----------------------------------------------------------------------------------------
def test_indexing_keeps_everything_together(bundled):
    for key, rows in [
        (slice(2, 5), [2, 3, 4]),
        ([7, 1], [7, 1]),
        (np.arange(6000) == 3, [3]),
        (torch.tensor([4]), [4]),
        (-1, [5999]),
    ]:
        part = bundled[key]
        assert np.array_equal(part.images, bundled.images[rows])
        assert part.attributes == [bundled.attributes[i] for i in rows]
        assert part.captions_en == [bundled.captions_en[i] for i in rows]
        assert part.captions_zh == [bundled.captions_zh[i] for i in rows]
        assert part.seeds == [bundled.seeds[i] for i in rows]
    with pytest.raises(IndexError):
        bundled[6000]


def test_tensor(bundled):
    batch = bundled.tensor([3, 5])
    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        ((batch + 1) * 127.5).round().byte().permute(0, 2, 3, 1),
        torch.from_numpy(bundled.images[[3, 5]]),
    )
    whole = bundled[:200].tensor()
    assert whole.min() >= -1
    assert whole.max() <= 1
    assert torch.equal(whole[3:4], bundled.tensor(3))


def test_filter_and_caption(bundled):
    some = bundled.filter(hair_color="red", mouth=["smile", "open"])
    assert 0 < len(some) < 6000
    assert all(
        f["hair_color"] == "red" and f["mouth"] in ("smile", "open") for f in some.attributes
    )
    assert some.caption(0) == some.captions_en[0]
    assert re.search("[一-鿿]", some.caption(0, "zh"))
    with pytest.raises(FacesError, match=r"Unknown language 'fr'. Known: en, zh"):
        some.caption(0, "fr")
    with pytest.raises(
        FacesError, match=r"Unknown attribute 'hair_colour'. Did you mean 'hair_color'\?"
    ):
        bundled.filter(hair_colour="red")
    with pytest.raises(FacesError, match=r"Unknown hair_color 'crimson'.* Known: black, brown"):
        bundled.filter(hair_color="crimson")
    assert repr(some).endswith("pictures of 64 px, attributes and captions)")


def test_pictures_without_attributes_say_so():
    plain = faces.Faces(np.zeros((2, 8, 8, 3), np.uint8), name="mine")
    with pytest.raises(FacesError, match=r"mine: only drawings .* have attributes"):
        plain.filter(hair_color="red")
    with pytest.raises(FacesError, match=r"mine: only drawings .* have captions"):
        plain.caption(0)
    with pytest.raises(
        FacesError, match=r"images are uint8 \(N, S, S, 3\), not float32 \(2, 3, 8, 8\)"
    ):
        faces.Faces(np.zeros((2, 3, 8, 8), np.float32))


def test_save_and_read(bundled, tmp_path):
    few = bundled[:5]
    few.save(tmp_path / "few.parquet")
    again = faces.read(tmp_path / "few.parquet")
    assert np.array_equal(few.images, again.images)
    assert (few.attributes, few.captions_zh, few.seeds) == (
        again.attributes,
        again.captions_zh,
        again.seeds,
    )
    assert [path.name for path in tmp_path.glob("*few*")] == ["few.parquet"]
    with pytest.raises(FacesError, match=r"There is no file"):
        faces.read(tmp_path / "none.parquet")


def test_no_face_at_all(held_out, tmp_path):
    for none in ([], (), torch.tensor([]), np.array([]), np.zeros(600, bool), slice(0)):
        assert (len(held_out[none]), held_out[none].seeds) == (0, [])
        assert held_out.tensor(none).shape == (0, 3, 64, 64)
    with pytest.raises(FacesError, match="there are no faces to save"):
        held_out[[]].save(tmp_path / "none.parquet")
    with pytest.raises(FacesError, match=r"There are no faces in .*faces.parquet, tset"):
        faces.read(settings.data_dir() / "faces.parquet", "tset")


def test_take_gives_the_numbers_too(held_out):
    images, numbers = held_out.take([7, -1])
    assert numbers.tolist() == [7, 599]
    assert np.array_equal(images, held_out.images[[7, 599]])


def test_fingerprint_is_of_the_pictures_and_what_is_known(held_out, tmp_path):
    few = held_out[:6]
    assert re.fullmatch("[0-9a-f]{12}", few.fingerprint())
    few.save(tmp_path / "few.parquet")
    assert faces.read(tmp_path / "few.parquet").fingerprint() == few.fingerprint()
    other = few.images.copy()
    other[5, 63, 63, 2] ^= 1
    changed = [
        few[::-1],
        few[:5],
        replace(few, images=other),
        replace(few, images=few.images.reshape(24, 32, 32, 3)),
        replace(few, attributes=None),
        replace(few, captions_zh=few.captions_en),
    ]
    assert len({one.fingerprint() for one in [few, *changed]}) == 7
    assert held_out[::2].fingerprint() == held_out[list(range(0, 600, 2))].fingerprint()


def test_bundled_faces_are_read_once_and_everyone_has_their_own(monkeypatch, tmp_path):
    first = faces.load("held-out")
    monkeypatch.setattr(table, "read", lambda *_: pytest.fail("read again"))
    first.images[:] = 0
    first.attributes[0]["hair_color"] = "none"
    again = faces.load("held-out")
    assert again.images.any()
    assert again.attributes[0]["hair_color"] != "none"
