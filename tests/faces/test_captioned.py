"""Captions for trainings: true, other ones each epoch, and the same for whoever asks."""

import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scribbles import fill, noise
from torch.utils.data import DataLoader

from course_lib import faces
from course_lib.captions import Caption
from course_lib.faces import FacesError
from course_lib.faces.captioned import ANY_KIND, UNSAID, UNSEEN

VALUES = faces.attribute_values()


def encode(texts: list[str]) -> torch.Tensor:
    """The letters' numbers; a stand-in for a tokenizer, which another process can import."""
    rows = [[ord(letter) for letter in text[:100].ljust(100)] for text in texts]
    return torch.tensor(rows, dtype=torch.long).reshape(len(texts), 100)


def decode(tokens: torch.Tensor) -> list[str]:
    return ["".join(map(chr, row)).strip() for row in tokens.tolist()]


@pytest.fixture(scope="module")
def data(held_out) -> faces.Captioned:
    return faces.Captioned(held_out, encode, seed=3)


def same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_shapes_and_what_they_mean(data, held_out):
    images, tokens, said, drawn = batch = data.tensor(range(64))
    assert [tuple(part.shape) for part in batch] == [(64, 3, 64, 64), (64, 100), (64, 15), (64, 15)]
    assert [part.dtype for part in batch] == [torch.float32] + [torch.int64] * 3
    assert torch.equal(images, held_out.tensor(range(64)))
    for i, text in enumerate(decode(tokens)):
        said_of_i, facts = data.caption(i)
        assert text == said_of_i[:100]
        for a, (name, values) in enumerate(VALUES.items()):
            true = held_out.attributes[i][name]
            assert drawn[i, a] == (UNSEEN if true == "hidden" else values.index(true))
            if name not in facts:
                assert said[i, a] == UNSAID
            elif facts[name] not in values:
                assert (name, facts[name], said[i, a]) == ("glasses", "yes", ANY_KIND)
            else:
                assert said[i, a] == values.index(facts[name])
    assert (said == ANY_KIND).any()
    assert len(data) == 600
    assert [part.shape[0] for part in data.tensor([])] == [0, 0, 0, 0]


def test_a_caption_follows_from_seed_face_and_epoch_only(data, held_out):
    later = data.in_epoch(4)
    batch = later.tensor([5, 9, 200])
    assert same(data.in_epoch(2).in_epoch(4).tensor([5, 9, 200]), batch)
    assert same([part.flip(0) for part in later.tensor([200, 9, 5])], batch)
    assert same(later.tensor(np.array([-595, 9, -400])), batch)
    assert same(faces.Captioned(held_out, encode, seed=3, epoch=4).tensor([5, 9, 200]), batch)


def test_captions_are_fresh_in_every_epoch(data, held_out):
    said = [[data.in_epoch(epoch).caption(i)[0] for i in range(100)] for epoch in range(4)]
    said.append([replace(data, seed=4).caption(i)[0] for i in range(100)])
    for n, some in enumerate(said):
        for others in said[:n]:
            assert sum(a == b for a, b in zip(some, others, strict=True)) < 10
    assert data.in_epoch(1).drawn is data.drawn  # nothing is found a second time


def test_half_of_the_captions_are_chinese(data, held_out):
    def share(some: faces.Captioned) -> float:
        return sum(not some.caption(i)[0].isascii() for i in range(600)) / 600

    assert share(data) == pytest.approx(0.5, abs=0.07)
    assert share(faces.Captioned(held_out, encode, ["en"])) == 0
    assert share(faces.Captioned(held_out, encode, ["zh"])) == 1
    with pytest.raises(FacesError, match=r"Unknown language 'fr'. Known: en, zh"):
        faces.Captioned(held_out, encode, ["fr"])
    for wrong in ("en", []):
        with pytest.raises(FacesError, match=r"languages are some of \('en', 'zh'\)"):
            faces.Captioned(held_out, encode, wrong)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_say_the_same(data, held_out, tmp_path, start):
    held_out[:24].save(tmp_path / "few.parquet")
    streamed = replace(data, pictures=faces.stream(tmp_path / "few.parquet"), drawn=None)
    for some in (replace(data, pictures=held_out[:24], drawn=None), streamed):
        loader = DataLoader(
            range(24),
            batch_size=8,
            collate_fn=some.in_epoch(2).tensor,
            num_workers=1,
            multiprocessing_context=start,
        )
        batches = [torch.cat(parts) for parts in zip(*loader, strict=True)]
        assert same(batches, data.in_epoch(2).tensor(range(24)))


def test_streamed_faces_are_those_in_memory(data, held_out, tmp_path):
    held_out[:300].save(tmp_path / "a.parquet")
    held_out[300:].save(tmp_path / "b.parquet")
    streamed = replace(data, pictures=faces.stream(tmp_path), drawn=None)
    assert len(streamed) == 600
    assert same(streamed.tensor([599, 0, 300, -2]), data.tensor([599, 0, 300, -2]))


def test_a_picture_that_stands_in_for_a_broken_one_keeps_its_own_caption(data, held_out, tmp_path):
    held_out[:4].save(tmp_path / "few.parquet")
    table = pq.read_table(tmp_path / "few.parquet")
    images = table["image"].to_pylist()
    images[1]["bytes"] = b"no picture"
    field = table.schema.field("image")
    table = table.set_column(0, field, [pa.array(images, field.type)])
    pq.write_table(table, tmp_path / "few.parquet")
    broken = replace(data, pictures=faces.stream(tmp_path / "few.parquet"), drawn=None)
    with pytest.warns(UserWarning, match="1 of 3 pictures"):
        assert same(broken.tensor([0, 1, 3]), data.tensor([0, 2, 3]))


def test_pictures_of_which_nothing_is_known(held_out, tmp_path):
    few = faces.stream(fill(tmp_path / "some", "1.png"))
    for unknown in (few, faces.Faces(np.asarray(noise())[None], name="mine")):
        with pytest.raises(FacesError, match=r"only drawings of the course's own style have att"):
            faces.Captioned(unknown, encode)
    odd = [held_out.attributes[0], held_out.attributes[1] | {"mouth": "grin"}]
    lacking = [held_out.attributes[0], {"mouth": "smile"}]
    for attributes, name in ((odd, "mouth"), (lacking, "hair_color")):
        with pytest.raises(FacesError, match=f"face 1 has no {name} that the course knows"):
            faces.Captioned(replace(held_out[:2], attributes=attributes), encode)


def test_fingerprint(data, held_out):
    others = [
        replace(data, seed=4),
        replace(data, languages=["en"]),
        replace(data, pictures=held_out[:599]),
        replace(data, encode=lambda texts: encode(texts) + 1),
    ]
    assert len({one.fingerprint() for one in [data, *others]}) == 5
    assert data.in_epoch(7).fingerprint() == data.fingerprint()


def test_fits_is_what_captions_say_of_themselves(data, held_out):
    facts, saids = [], []
    for epoch in range(3):
        facts += [data.in_epoch(epoch).caption(i)[1] for i in range(300)]
        saids.append(data.in_epoch(epoch).tensor(range(300))[2])
    said, drawn = torch.cat(saids), data.tensor(range(600))[3]
    found = faces.fits(said[:, None], drawn)
    assert found.shape == (900, 600)
    wanted = [[Caption("", "", fact).fits(face) for face in held_out.attributes] for fact in facts]
    assert torch.equal(found, torch.tensor(wanted))
    assert faces.fits(said[:300], drawn[:300]).all()  # each its own
    assert 0.02 < found.float().mean() < 0.5


def test_glasses_of_any_kind_fit_both_kinds_and_no_others():
    glasses = list(VALUES).index("glasses")
    said = torch.full((15,), UNSAID)
    said[glasses] = ANY_KIND
    drawn = torch.zeros(4, 15, dtype=torch.long)
    drawn[:, glasses] = torch.tensor([VALUES["glasses"].index(v) for v in VALUES["glasses"]] + [-1])
    fitting = [v != "no" for v in VALUES["glasses"]]
    assert faces.fits(said, drawn).tolist() == [*fitting, False]
