"""Pictures from the disk: the same as from memory, wherever they come from and whoever reads."""

import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scribbles import ROOT, fill, scribble

from course_lib import faces
from course_lib.faces import FacesError, collected, streamed


def zips(folder: Path) -> Path:
    """The layout of huggan/anime-faces, with a picture that is there twice, and a broken one."""
    folder.mkdir()
    (folder / "README.md").write_text("# Anime faces\n")
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for i in range(6):
            archive.writestr(f"data/{i}.png", scribble(i))
        archive.writestr("images/data/0.png", scribble(0))
        archive.writestr("__MACOSX/data/._0.png", b"no picture")
    return folder


def tables(cache: Path) -> list[Path]:
    return list(cache.rglob("*.arrow"))


# --- the same pictures ----------------------------------------------------------------------------
def test_folder_is_that_of_from_folder(tmp_path):
    # Names at which `datasets` itself would sort otherwise, see a pattern, skip or take only one.
    folder = fill(
        tmp_path / "my [2024] pictures",
        *("b.png", "a/z.png", "a-b.PNG", "girl-test.png", "c.JpG", "x[1].gif", "validation/d.webp"),
    )
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"no picture")
    (folder / "scan.tiff").write_bytes(b"not one of the types")
    whole, streamed = faces.from_folder(folder, size=16), faces.stream(folder, size=16)
    assert (len(streamed), streamed.name, streamed.size) == (7, folder.name, 16)
    assert repr(streamed) == "Streamed(my [2024] pictures: 7 pictures of 16 px, from the disk)"
    assert torch.equal(streamed.tensor(range(7)), whole.tensor())


def test_tensor_is_that_of_faces(held_out, tmp_path):
    held_out.save(tmp_path / "few.parquet")
    streamed = faces.stream(str(tmp_path / "few.parquet"))
    assert (len(streamed), streamed.name) == (600, "few")
    for indices in ([7, 1, 7], np.array([599, 0]), torch.tensor([3]), range(4), -1, 5, [-600]):
        batch = streamed.tensor(indices)
        assert torch.equal(batch, held_out.tensor(indices))
        assert batch.dtype == torch.float32
        assert batch.is_contiguous(memory_format=torch.channels_last)
    assert streamed.tensor([]).shape == (0, 3, 64, 64)
    for wrong in ([600], [0, -601]):
        with pytest.raises(IndexError, match=r"few has 600 pictures, no number"):
            streamed.tensor(wrong)
    for wrong in (None, [0.5], "all", [[1, 2]], [True]):
        with pytest.raises(FacesError, match=r"indices are whole numbers, such as \[0, 5\], not"):
            streamed.tensor(wrong)


def test_parquet_shards_in_order(held_out, tmp_path):
    folder = fill(tmp_path / "shards [2]", "figure1.png", "figure2.png", "figure3.png")
    for i, name in enumerate(["a/1.parquet", "b-test.parquet", "c.parquet"]):
        (folder / name).parent.mkdir(exist_ok=True)
        held_out[5 * i : 5 * i + 5].save(folder / name)
    streamed = faces.stream(folder)
    assert (len(streamed), streamed.name) == (15, "shards [2]")
    assert torch.equal(streamed.tensor(range(15)), held_out[:15].tensor())


def test_train_if_there_is_a_split(held_out, tmp_path):
    for i, name in enumerate(["train-00000-of-00002", "train-00001-of-00002", "test-00000"]):
        held_out[2 * i : 2 * i + 2].save(tmp_path / f"{name}.parquet")
    streamed = faces.stream(tmp_path)
    assert streamed.name == f"{tmp_path.name}, train"
    assert torch.equal(streamed.tensor(range(len(streamed))), held_out[:4].tensor())
    folder = fill(
        tmp_path / "split", "train/a.png", "train/b.png", "test/a.png", "test/training.png"
    )
    streamed = faces.stream(folder, 16)
    assert repr(streamed).startswith("Streamed(split, train: 2 pictures")
    whole = faces.from_folder(folder / "train", 16)
    assert torch.equal(streamed.tensor([0, 1]), whole.tensor())


def test_zip_files_are_those_of_from_hub(monkeypatch, tmp_path):
    folder = zips(tmp_path / "anime-faces")
    # A file here with the name of one in the archive is not taken for it.
    monkeypatch.chdir(fill(tmp_path / "here", "data/0.png", "data/1.png", "data/2.png"))
    streamed, whole = faces.stream(folder, 30), faces.from_hub(folder, 30)
    assert (len(streamed), streamed.name) == (6, "anime-faces")
    assert torch.equal(streamed.tensor(range(6)), whole.tensor())


def hub_of(monkeypatch, splits: dict[str, Path]) -> None:
    """A Hub whose one data set has these Parquet files, and no zip."""
    load = datasets.load_dataset

    def load_dataset(name: str, **options):
        assert name == "me/drawings"
        return load("parquet", data_files={s: str(path) for s, path in splits.items()}, **options)

    monkeypatch.setattr(collected, "fetch_zips", lambda _: [])
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


@pytest.mark.parametrize(
    ("splits", "name", "first"),
    [(["test", "train"], "me/drawings", 3), (["validation", "test"], "me/drawings, validation", 0)],
)
def test_data_set_of_the_hub(monkeypatch, held_out, tmp_path, cache, splits, name, first):
    files = {split: tmp_path / f"{split}.parquet" for split in splits}
    for i, path in enumerate(files.values()):
        held_out[3 * i : 3 * i + 3].save(path)
    hub_of(monkeypatch, files)
    streamed = faces.stream("me/drawings")
    assert (len(streamed), streamed.name) == (3, name)
    assert torch.equal(streamed.tensor([0, 1, 2]), held_out.tensor(range(first, first + 3)))
    assert tables(cache)
    assert torch.equal(faces.from_hub("me/drawings").tensor(), streamed.tensor([0, 1, 2]))


# --- the table on the disk ------------------------------------------------------------------------
def test_table_is_made_once_and_again_when_something_changes(tmp_path, cache, monkeypatch):
    folder = fill(tmp_path / "growing", "a.png", "b.png")
    assert len(faces.stream(folder, 16)) == len(faces.stream(folder, 32)) == 2
    assert len(tables(cache)) == 1  # for all sizes
    monkeypatch.chdir(tmp_path)
    assert len(faces.stream("growing", 16)) == 2
    assert len(tables(cache)) == 1  # and from everywhere
    fill(folder, "0.png")
    assert torch.equal(faces.stream(folder).tensor([0, 1, 2]), faces.from_folder(folder).tensor())
    (folder / "a.png").unlink()
    assert len(faces.stream(folder)) == 2
    before = faces.stream(folder).tensor([1])
    (folder / "b.png").write_bytes(scribble(99))
    assert not torch.equal(faces.stream(folder).tensor([1]), before)
    assert len(faces.stream(folder, cache_dir=tmp_path / "elsewhere")) == 2
    assert len(tables(tmp_path / "elsewhere")) == 1


def test_changed_files_make_another_table(held_out, tmp_path):
    folder = zips(tmp_path / "archives")
    assert len(faces.stream(folder)) == 6
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("new.png", scribble(7))
    assert len(faces.stream(folder)) == 7
    with zipfile.ZipFile(folder / "more.zip", "a") as archive:
        archive.writestr("newer.png", scribble(8))
    assert len(faces.stream(folder)) == 8
    for few in (held_out[:2], held_out[:3], held_out[3:6]):
        few.save(tmp_path / "few.parquet")
        assert torch.equal(
            faces.stream(tmp_path / "few.parquet").tensor(range(len(few))), few.tensor()
        )


READ = """
    import hashlib, sys
    from course_lib import faces
    pictures = faces.stream(sys.argv[1], size=16)
    print(hashlib.sha256(pictures.tensor(range(len(pictures))).numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_two_processes_and_one_empty_cache(tmp_path, cache):
    folder = fill(tmp_path / "pictures", *(f"{i}.png" for i in range(20)))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(READ), folder],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in running]
    whole = faces.from_folder(folder, 16).tensor().numpy().tobytes()
    line = hashlib.sha256(whole).hexdigest() + os.linesep
    assert said == [(line.encode(), b"")] * 2  # and neither a bar nor a warning
    (table,) = tables(cache)
    made = table.stat().st_mtime_ns
    assert len(faces.stream(folder)) == 20
    assert table.stat().st_mtime_ns == made


def test_bars_for_large_sets_only(tmp_path, capfd, monkeypatch):
    folder = fill(tmp_path / "some", "a.png", "b.png", "c.png")
    faces.stream(folder)
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()
    monkeypatch.setattr(streamed, "SMALL", 3)
    faces.stream(folder, cache_dir=tmp_path / "other")
    assert "3 examples" in capfd.readouterr().err


# --- memory and processes -------------------------------------------------------------------------
def test_no_picture_stays_in_memory(held_out, tmp_path):
    held_out[:300].save(tmp_path / "faces.parquet")
    streamed = faces.stream(tmp_path / "faces.parquet")
    streamed.tensor(range(10))  # what is imported and made once
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    for first in range(0, 300, 30):
        streamed.tensor(range(first, first + 30))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < held_out.images[:10].nbytes
    assert pa.total_allocated_bytes() - arrow < held_out.images[:10].nbytes
    assert len(pickle.dumps(streamed)) < 10_000
    again = pickle.loads(pickle.dumps(streamed))
    assert repr(again) == repr(streamed)
    assert torch.equal(again.tensor([299, 0]), held_out.tensor([299, 0]))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_read_the_same(held_out, tmp_path, start):
    held_out[:24].save(tmp_path / "faces.parquet")
    streamed = faces.stream(tmp_path / "faces.parquet", size=32)
    loader = torch.utils.data.DataLoader(
        range(len(streamed)),
        batch_size=6,
        sampler=list(reversed(range(24))),
        collate_fn=streamed.tensor,
        num_workers=2,
        multiprocessing_context=start,
    )
    batches = list(loader)
    assert len(batches) == 4
    assert torch.equal(torch.cat(batches), streamed.tensor(range(23, -1, -1)))
    assert batches[0].is_contiguous(memory_format=torch.channels_last)


# --- what cannot be read --------------------------------------------------------------------------
def test_next_picture_takes_the_place_of_a_broken_one(tmp_path):
    folder = fill(tmp_path / "damaged", "1.png", "4.png")
    (folder / "2.png").write_bytes(scribble(1)[:500])
    (folder / "3.gif").write_text("this is no picture")
    (folder / "5.png").write_bytes(b"")
    streamed = faces.stream(folder, 16)
    assert len(streamed) == 5
    with pytest.warns(UserWarning, match=r"2 of 4 .* of damaged cannot .*example \S+2.png") as told:
        batch = streamed.tensor([0, 1, 3, 4])
    assert len(told) == 1
    assert told[0].filename == __file__
    assert torch.equal(batch[1], batch[2])
    assert torch.equal(batch[3], batch[0])  # after the last comes the first
    whole = shutil.copytree(folder, tmp_path / "whole", ignore=shutil.ignore_patterns("[235]*"))
    assert torch.equal(batch[[0, 2]], faces.from_folder(whole, 16).tensor())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(streamed.tensor(2), batch[2:3])
        assert torch.equal(pickle.loads(pickle.dumps(streamed)).tensor([1]), batch[1:2])
    assert streamed.unreadable == {1, 2, 4}


def test_broken_pictures_elsewhere(tmp_path):
    folder = zips(tmp_path / "archives")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("broken.png", b"no picture")
    streamed = faces.stream(folder)
    with pytest.warns(UserWarning, match=r"1 of 7 .* example zip://broken.png"):
        batch = streamed.tensor(range(7))
    assert torch.equal(batch[6], batch[0])

    feature = datasets.Features({"image": datasets.Image()})
    rows = [None, {"bytes": scribble(0), "path": None}, {"bytes": None, "path": "gone.png"}]
    table = pa.Table.from_pydict({"image": rows}, schema=feature.arrow_schema)
    pq.write_table(table, tmp_path / "rows.parquet")
    streamed = faces.stream(tmp_path / "rows.parquet")
    with pytest.warns(UserWarning, match=r"2 of 3 pictures .* example picture 0"):
        assert streamed.tensor([0, 1, 2]).unique(dim=0).shape[0] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_name_that_is_no_text(tmp_path):
    folder = fill(tmp_path / "names", "1.png")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(scribble(1))
    streamed = faces.stream(folder)
    with pytest.warns(UserWarning, match=r"1 of 2 .* example \S+\?.png"):
        assert len(streamed.tensor([0, 1]).unique(dim=0)) == 1


def test_none_can_be_read(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_text("this is no picture")
    with pytest.raises(FacesError, match=r"None of the 3 pictures in .* See whether a program"):
        faces.stream(tmp_path)


def test_pictures_that_were_moved_away(tmp_path):
    folder = fill(tmp_path / "moved", "a.png", "b.png")
    streamed = faces.stream(folder)
    shutil.rmtree(folder)
    with pytest.raises(
        FacesError, match=r"None of the 2 .* whether they are still where they were"
    ):
        streamed.tensor([0])


# --- errors ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("missing", ["no/such/folder", "no folder", "~/no-such-folder-at-all"])
def test_no_such_folder(missing, tmp_path):
    with pytest.raises(FacesError, match=r"There is no folder .*no.*\. This notebook works in"):
        faces.stream(missing)
    with pytest.raises(FacesError, match=r"There is no folder .*pictures\. This notebook works in"):
        faces.stream(tmp_path / "pictures")


def test_nothing_to_read(held_out, tmp_path):
    (tmp_path / "notes.txt").write_text("no pictures here")
    with pytest.raises(
        FacesError, match=r"There are no pictures in .*: no file ends in .bmp, .gif"
    ):
        faces.stream(tmp_path)
    with pytest.raises(FacesError, match=r"notes.txt is no Parquet file. Give one that ends in"):
        faces.stream(tmp_path / "notes.txt")
    with pytest.raises(FacesError, match=r"size is a whole number of pixels"):
        faces.stream(tmp_path, size=2)
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "table.parquet")
    with pytest.raises(FacesError, match=r"no column of images; its columns are: a, b"):
        faces.stream(tmp_path / "table.parquet")
    held_out[:20].save(tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:9000])
    with pytest.raises(FacesError, match=r"cut.parquet is damaged .* fetch or make it again"):
        faces.stream(tmp_path / "cut.parquet")
    folder = zips(tmp_path / "archives")
    (folder / "data.zip").write_bytes((folder / "data.zip").read_bytes()[:3000])
    with pytest.raises(FacesError, match=r"data.zip is not a whole zip file. Delete it and fetch"):
        faces.stream(folder)
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("notes.txt", b"no picture")
    with pytest.raises(FacesError, match=r"There are no pictures in the zip files of .*archives"):
        faces.stream(folder)


def test_damage_inside_a_parquet_file(held_out, tmp_path):
    path = tmp_path / "flipped.parquet"
    held_out[:20].save(path)
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(FacesError, match=r"Could not make a table of .*flipped.parquet .*fetch or"):
        faces.stream(path)


def test_cache_that_cannot_be_written(tmp_path):
    folder = fill(tmp_path / "pictures", "a.png")
    (tmp_path / "file").write_text("no folder can be made here")
    with pytest.raises(FacesError, match=r"Could not make a table .* give another cache_dir"):
        faces.stream(folder, cache_dir=tmp_path / "file" / "cache")


def test_no_network(monkeypatch, tmp_path):
    import huggingface_hub

    def no_network(*_, **__):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", no_network)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(FacesError) as raised:
        faces.stream("me/drawings")
    assert str(raised.value) == (
        "Could not get me/drawings (ConnectionError: Name or service not known). "
        f"{collected.OFFLINE_HELP} With HF_HUB_OFFLINE=1, what was fetched before is found. "
        f"Nor is there a file or folder me/drawings in {Path.cwd()}."
    )


def test_no_such_data_set(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    def not_found(*_, **__):
        raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", not_found)
    with pytest.raises(
        FacesError, match=r"no data set 'me/drawigns' .*login`. Nor is there a file"
    ):
        faces.stream("me/drawigns")


def test_table_of_the_hub_without_a_network(held_out, tmp_path):
    """`datasets` finds the table it made before, laid out here as it lays one out for the Hub."""
    (tmp_path / "drawings").mkdir()
    held_out[:3].save(tmp_path / "drawings" / "train.parquet")
    datasets.load_dataset(str(tmp_path / "drawings"), cache_dir=str(tmp_path / "cache"))
    (tmp_path / "cache" / "drawings").rename(tmp_path / "cache" / "me___drawings")
    code = f"""
    from course_lib import faces
    print(len(faces.stream("me/drawings", cache_dir={str(tmp_path / "cache")!r})))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert run.stdout == "3\n", run.stderr


# --- what is known about them ---------------------------------------------------------------------
def test_fingerprint_is_of_the_pictures_and_their_size(held_out, tmp_path):
    folder = fill(tmp_path / "some", *(f"{i}.png" for i in range(70)))
    print_ = faces.stream(folder, 16).fingerprint()
    assert re.fullmatch("[0-9a-f]{12}", print_)
    assert faces.stream(folder, 16, tmp_path / "elsewhere").fingerprint() == print_
    assert pickle.loads(pickle.dumps(faces.stream(folder, 16))).fingerprint() == print_
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert faces.stream(moved, 16).fingerprint() == print_
    others = [faces.stream(folder, 32)]
    (moved / "69.png").write_bytes(scribble(500))
    others.append(faces.stream(moved, 16))
    others.append(faces.stream(fill(tmp_path / "more", *(f"{i}.png" for i in range(71))), 16))
    others.append(faces.stream(zips(tmp_path / "archives"), 16))
    held_out[:70].save(tmp_path / "few.parquet")
    others.append(faces.stream(tmp_path / "few.parquet", 16))
    replace(held_out[:70], attributes=held_out.attributes[1:71]).save(tmp_path / "few.parquet")
    others.append(faces.stream(tmp_path / "few.parquet", 16))
    assert len({print_, *(other.fingerprint() for other in others)}) == 7


def test_fingerprint_of_pictures_that_cannot_be_read(tmp_path):
    folder = fill(tmp_path / "some", "1.png", "2.png")
    (folder / "3.png").write_bytes(b"")
    streamed = faces.stream(folder, 16)
    before = streamed.fingerprint()
    (folder / "2.png").unlink()
    assert streamed.fingerprint() != before


def test_attributes_of_drawings_are_kept_and_no_others(held_out, tmp_path):
    held_out[:5].save(tmp_path / "few.parquet")
    streamed = faces.stream(tmp_path / "few.parquet")
    assert streamed.known["attributes"][:] == held_out.attributes[:5]
    assert streamed.rows.column_names == ["image"]
    replace(held_out[:5], attributes=[{"smiling": "1"}] * 5).save(tmp_path / "other.parquet")
    assert faces.stream(tmp_path / "other.parquet").known is None
    assert faces.stream(fill(tmp_path / "some", "1.png")).known is None


def test_take_gives_the_numbers_of_what_was_read(tmp_path):
    folder = fill(tmp_path / "damaged", "1.png", "3.png")
    (folder / "2.png").write_bytes(b"")
    streamed = faces.stream(folder, 16)
    with pytest.warns(UserWarning, match="1 of 3"):
        images, numbers = streamed.take([1, 0, -1])
    assert numbers.tolist() == [2, 0, 2]
    assert np.array_equal(images[0], images[2])
