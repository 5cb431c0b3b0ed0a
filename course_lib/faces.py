"""The data: pictures of faces and what is known about them. Five doors.

    load("train")                       the 6,000 drawings that come with the course
    render(1000, seed=1)                as many new ones as you like, or of any other DiceBear style
    from_folder("my pictures")          your own pictures
    from_hub("huggan/anime-faces")      a data set on the Hugging Face Hub
    stream("a million pictures")        any such folder or data set, when it is larger than memory

The first four return `Faces`, which holds every picture in memory, the last one `Streamed`, which
reads each one from the disk when it is asked for. Both give batches by `tensor(indices)`.

The course's own faces are a DiceBear style definition (`data/anime-face.json`): parts with variants
and colours that are drawn by chance, then painted by resvg. What was drawn is known exactly, so
every attribute and caption is true.
"""

import difflib
import functools
import glob
import hashlib
import io
import itertools
import json
import os
import random
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata, resources
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from course_lib import settings
from course_lib.captions import HIDDEN, captions, describe, vocabulary

if TYPE_CHECKING:
    import datasets
    import pyarrow
    import torch

__all__ = [
    "Faces",
    "FacesError",
    "Streamed",
    "attribute_values",
    "captions",
    "from_folder",
    "from_hub",
    "load",
    "read",
    "render",
    "stream",
]

OWN_STYLE = "anime-face"
SPLITS = ("train", "held-out", "all")
SMALL = 128  # fewer faces are drawn right here: no more processes, no progress bar, no cache
CHUNK = 32  # faces that a process draws at a time
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
OFFLINE_HELP = (
    "Without a network, use the faces that came with the course, faces.load(), "
    "or a folder of your own pictures, faces.from_folder(path)."
)


class FacesError(ValueError):
    """Something is wrong with the request or the files; the message says what to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Faces:
    """N pictures and what is known about each; None is what is not known.

    images: uint8 (N, S, S, 3), RGB.
    attributes: what was drawn, such as {"hair_color": "red", …}; "no" is a part that was not drawn,
        "hidden" a colour that cannot be seen.
    captions_en, captions_zh: one caption a face.
    seeds: the DiceBear seed of each drawing.

    `faces[10:20]`, `faces[[3, 1]]`, `faces[mask]` and `faces[5]` are Faces again.
    """

    images: np.ndarray
    attributes: list[dict[str, str]] | None = None
    captions_en: list[str] | None = None
    captions_zh: list[str] | None = None
    seeds: list[str] | None = None
    name: str = "faces"

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise FacesError(f"images are uint8 (N, S, S, 3), not {self.images.dtype} {shape}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        known = "attributes and captions" if self.attributes else "no attributes"
        return f"Faces({self.name}: {len(self):,} pictures of {self.images.shape[1]} px, {known})"

    def __getitem__(self, key: Any) -> "Faces":
        rows = np.atleast_1d(
            np.arange(len(self))[key if isinstance(key, slice) else np.asarray(key)]
        )

        def pick(column: list | None) -> list | None:
            return None if column is None else [column[i] for i in rows]

        return replace(
            self,
            images=self.images[key] if isinstance(key, slice) else self.images[rows],
            attributes=pick(self.attributes),
            captions_en=pick(self.captions_en),
            captions_zh=pick(self.captions_zh),
            seeds=pick(self.seeds),
        )

    def tensor(self, indices: Any = None) -> "torch.Tensor":
        """The pictures as networks want them: float32 (B, 3, S, S) in [-1, 1], channels last."""
        images = self.images if indices is None else self.images[np.atleast_1d(np.asarray(indices))]
        return _to_tensor(images)

    def caption(self, i: int, language: str = "en") -> str:
        """The stored caption of face i, in "en" or "zh"."""
        columns = {"en": self.captions_en, "zh": self.captions_zh}
        if language not in columns:
            raise _unknown("language", language, columns)
        if columns[language] is None:
            raise FacesError(f"{self.name}: only drawings of the course's own style have captions")
        return columns[language][i]

    def filter(self, **wanted: str | Iterable[str]) -> "Faces":
        """The faces that are like this: `filter(hair_color="red", mouth=["smile", "open"])`.

        FacesError for an unknown attribute or value; it lists the known ones.
        """
        if self.attributes is None:
            raise FacesError(
                f"{self.name}: only drawings of the course's own style have attributes"
            )
        wanted = _check_attributes(wanted, also=(HIDDEN,))
        fits = [all(face[name] in wanted[name] for name in wanted) for face in self.attributes]
        return self[np.flatnonzero(fits)]

    def save(self, path: str | Path, split: list[str] | None = None) -> None:
        """Write a Parquet file in the image convention of the `datasets` library.

        `read` reads it back. It is written under another name first and then renamed, so `path` is
        never half a file.
        """
        _write(self, Path(path), split)


def _to_tensor(images: np.ndarray) -> "torch.Tensor":
    """uint8 (B, S, S, 3) as float32 (B, 3, S, S) in [-1, 1]; the memory's order stays."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


# --- the bundled faces ----------------------------------------------------------------------------
def load(split: str = "train") -> Faces:
    """The faces that come with the course, 64×64.

    split: 5,400 to "train" on, 600 "held-out" for judging, or "all" 6,000. FacesError for another.
    """
    if split not in SPLITS:
        raise _unknown("split", split, SPLITS)
    path = settings.data_dir() / "faces.parquet"
    if not path.is_file():
        raise FacesError(
            f"{path} is missing: fetch the course again, or make it by python data/build_faces.py"
        )
    faces = read(path, None if split == "all" else split)
    return replace(faces, name=f"bundled, {split}")


# --- drawing --------------------------------------------------------------------------------------
def render(
    n: int,
    seed: int = 0,
    size: int = 64,
    style: str = OWN_STYLE,
    attributes: dict[str, str | list[str]] | None = None,
    cache: bool = True,
) -> Faces:
    """Draw n faces of size × size pixels, on all cores.

    seed: face i depends on the seed and on i only, not on n and not on the machine.
    style: the course's own, or any style of the dicebear-styles package by its name ("lorelei");
        those have no attributes and no captions.
    attributes: what to hold fixed, such as {"hair_color": "red", "glasses": ["round", "no"]}; see
        `attribute_values`. A fixed eye colour is still hidden where the eyes are closed.
    cache: keep 128 faces or more in `settings.cache_dir()` and find them there the next time.

    FacesError for an unknown style, attribute or value (it lists the known ones), or an n, seed or
    size out of range.
    """
    if not _is_int(n) or n < 1:
        raise FacesError(f"n is the number of faces, 1 or more, not {n!r}")
    if not _is_int(seed):
        raise FacesError(f"seed is a whole number, not {seed!r}")
    size = _check_size(size)
    n, seed = int(n), int(seed)
    job = Job(style, _definition(style), size, _options(style, attributes or {}))
    seeds = [f"{seed}-{i}" for i in range(n)]
    if not cache or n < SMALL:
        return _draw_all(job, seeds)
    kept = _cached(f"{style}-{n}-{_key(job, n, seed)}", lambda: _draw_all(job, seeds))
    return replace(kept, name=style)


def attribute_values() -> dict[str, list[str]]:
    """Every attribute of the course's own faces with its possible values; "no" is: not drawn."""
    return {name: list(entry["values"]) for name, entry in vocabulary()["attributes"].items()}


@dataclass(frozen=True)
class Job:
    """What a process needs to know to draw; `definition` is the style's JSON text."""

    style: str
    definition: str
    size: int
    options: dict[str, Any]  # DiceBear's options beside the seed


def _draw_all(job: Job, seeds: list[str]) -> Faces:
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    run = map if len(seeds) < SMALL else _in_processes
    with _progress(len(seeds), f"drawing {job.style}") as bar:
        pairs = []
        for chunk in run(functools.partial(_draw, job), chunks):
            pairs += chunk
            bar.update(len(chunk))
    images = np.stack([image for image, _ in pairs])
    if job.style != OWN_STYLE:
        return Faces(images, seeds=seeds, name=job.style)
    attributes = [_attributes(choices) for _, choices in pairs]
    said = [
        describe(face, random.Random(f"{seed} caption"))
        for face, seed in zip(attributes, seeds, strict=True)
    ]
    return Faces(images, attributes, [c.en for c in said], [c.zh for c in said], seeds, job.style)


def _draw(job: Job, seeds: list[str]) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """The pictures of some seeds, uint8 (S, S, 3), each with what DiceBear chose for it."""
    import resvg_py
    from dicebear import Avatar

    style = _style(job.definition)
    drawn = []
    for seed in seeds:
        drawing = Avatar(style, {**job.options, "seed": seed}).to_json()
        svg = drawing["svg"]
        no_letters = "<text" not in svg  # then the system's fonts need not be looked for
        png = resvg_py.svg_to_bytes(
            svg, width=job.size, height=job.size, skip_system_fonts=no_letters
        )
        drawn.append((_square(Image.open(io.BytesIO(png)), job.size), drawing["options"]))
    return drawn


def _in_processes(function: Callable, items: list) -> Iterator:
    """`map(function, items)` on all cores. resvg holds Python's lock: threads would not help.

    Processes are spawned, never forked: safe beside torch's threads, and the same on Windows.
    """
    cores = min(_cores(), len(items), 60)  # Windows waits for at most 61
    done = 0
    if cores > 1:
        pool = ProcessPoolExecutor(cores, mp_context=get_context("spawn"))
        try:
            with _no_main_module():
                results = pool.map(function, items)
            for result in results:
                yield result
                done += 1
        except (BrokenProcessPool, OSError) as error:
            warnings.warn(f"Drawing in one process, which takes longer: {error}", stacklevel=2)
        finally:
            pool.shutdown(cancel_futures=True)
    yield from map(function, items[done:])


@contextmanager
def _no_main_module() -> Iterator[None]:
    """A spawned process runs the script of `__main__` again. Ours need not: show it none."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _definition(style: str) -> str:
    if style == OWN_STYLE:
        return (settings.data_dir() / f"{OWN_STYLE}.json").read_text(encoding="utf-8")
    try:
        folder = resources.files("dicebear_styles")
    except ModuleNotFoundError:
        raise FacesError(
            f"The only style here is {OWN_STYLE!r}. For the others: pip install dicebear-styles"
        ) from None
    known = sorted(
        f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")
    )
    if style not in known:
        raise _unknown("style", style, [OWN_STYLE, *known])
    return folder.joinpath(f"{style}.json").read_text(encoding="utf-8")


@functools.lru_cache(maxsize=8)
def _style(definition: str) -> Any:
    from dicebear import Style

    return Style(json.loads(definition))


def _options(style: str, fixed: dict[str, str | list[str]]) -> dict[str, Any]:
    """DiceBear's options: the ranges of tilt, shift and scale, and what is held fixed."""
    if style != OWN_STYLE:
        if fixed:
            raise FacesError(
                f"Only {OWN_STYLE!r} has attributes that can be fixed, {style!r} has none."
            )
        return {}
    words = vocabulary()
    options = dict(words["options"])
    for name, values in _check_attributes(fixed).items():
        entry = words["attributes"][name]
        keys = [entry["values"][value]["key"] for value in values]
        if "color" in entry["source"]:
            options[entry["source"]["color"] + "Color"] = keys
            continue
        part = entry["source"]["component"]
        if keys == [None]:
            options[part + "Probability"] = 0
            continue
        options[part + "Variant"] = [key for key in keys if key is not None]
        if None not in keys:
            options[part + "Probability"] = 100
    return options


def _attributes(choices: dict[str, Any]) -> dict[str, str]:
    """DiceBear's {"hairColor": ["#3a3545"], …} in our words: {"hair_color": "black", …}."""
    attributes = {}
    entries = vocabulary()["attributes"]
    for name, entry in entries.items():
        source = entry["source"]
        key = choices.get(source["component"] + "Variant") if "component" in source else None
        if "color" in source:
            key = next(iter(choices.get(source["color"] + "Color", [])), None)
        names = {value["key"]: value_name for value_name, value in entry["values"].items()}
        attributes[name] = names.get(key, HIDDEN)
    for name, entry in entries.items():
        if any(
            attributes[other] in values for other, values in entry.get("hidden_when", {}).items()
        ):
            attributes[name] = HIDDEN
    return attributes


# --- other people's pictures ----------------------------------------------------------------------
def from_folder(path: str | Path, size: int = 64) -> Faces:
    """All pictures in a folder and its folders: their middle squares, resized to size × size.

    png, jpg, jpeg, webp, bmp and gif (its first frame), in the order of their paths. Grey, palette
    and CMYK pictures become RGB, transparent ones get a white ground. Files that cannot be read are
    skipped with a warning that counts them. FacesError if the folder is missing or holds no picture
    that can be read.
    """
    size = _check_size(size)
    folder = Path(path).expanduser()
    if not folder.exists():
        raise _nowhere(folder)
    if not folder.is_dir():
        raise FacesError(f"{folder} is a file. Give the folder that holds your pictures.")
    files = _pictures_in(folder)
    encoded = ((str(file.relative_to(folder)), file) for file in files)
    return _decode(encoded, len(files), size, folder.name)


def _pictures_in(folder: Path) -> list[Path]:
    """All pictures in a folder and its folders, in the order of their paths."""
    files = sorted(file for file in folder.rglob("*") if _is_picture(file.relative_to(folder)))
    files = [file for file in files if file.is_file()]
    if not files:
        raise FacesError(
            f"There are no pictures in {folder}: no file ends in {', '.join(sorted(SUFFIXES))}."
        )
    return files


def from_hub(dataset_id: str | Path, size: int = 64, limit: int | None = None) -> Faces:
    """A data set of pictures on the Hugging Face Hub, squared like those of `from_folder`.

    dataset_id: "huggan/anime-faces", or a folder laid out like such a repository: with zip files of
        pictures, or else a column of images in the split "train", or in the first if it has none.
    limit: take only the first pictures.

    Files are fetched once and kept by huggingface_hub; no code from the repository is ever run.

    FacesError if there is no such data set, no network, or no picture in it.
    """
    size = _check_size(size)
    if limit is not None and (not _is_int(limit) or limit < 1):
        raise FacesError(
            f"limit is a number of pictures, 1 or more, or None for all, not {limit!r}"
        )
    zips = _fetch_zips(dataset_id)
    if zips:
        encoded, total = _from_zips(zips)
    else:
        encoded, total = _from_dataset(dataset_id, streaming=limit is not None)
    if limit is not None:
        encoded, total = itertools.islice(encoded, limit), min(limit, total)
    title = Path(dataset_id).name if Path(dataset_id).is_dir() else str(dataset_id)
    return _decode(encoded, total, size, title)


def _fetch_zips(dataset_id: str | Path) -> list[Path]:
    """The zip files at the top of the repository, here or fetched from the Hub."""
    if Path(dataset_id).is_dir():
        return sorted(Path(dataset_id).glob("*.zip"))

    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    with _hub_errors(dataset_id):
        try:
            # The list of files first: without a network this fails at once, a download tries long.
            files = HfApi().dataset_info(str(dataset_id), timeout=10).siblings or []
        except RepositoryNotFoundError:
            raise
        except Exception as error:
            before = _zips_fetched_before(str(dataset_id))
            if before or isinstance(error, OfflineModeIsEnabled):
                return before
            raise
        names = sorted(
            f.rfilename for f in files if f.rfilename.endswith(".zip") and "/" not in f.rfilename
        )
        return [Path(hf_hub_download(str(dataset_id), name, repo_type="dataset")) for name in names]


def _zips_fetched_before(dataset_id: str) -> list[Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(dataset_id, repo_type="dataset", local_files_only=True)
    except LocalEntryNotFoundError:
        return []
    return sorted(Path(folder).glob("*.zip"))


def _from_zips(paths: list[Path]) -> tuple[Iterator[tuple[str, bytes | None]], int]:
    """The pictures in zip files; of equal files, which an archive may hold in two folders, one."""
    archives, members, seen = [], [], set()
    for path in paths:
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise FacesError(
                f"{path} is not a whole zip file. Delete it and fetch it again."
            ) from None
        archives.append(archive)
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            content = (member.CRC, member.file_size)
            if _is_picture(Path(member.filename)) and content not in seen:
                seen.add(content)
                members.append((archive, member))

    def read_members() -> Iterator[tuple[str, bytes | None]]:
        for archive, member in members:
            try:
                yield member.filename, archive.read(member)
            except (zipfile.BadZipFile, zlib.error):
                yield member.filename, None  # will be counted as unreadable
        for archive in archives:
            archive.close()

    return read_members(), len(members)


def _from_dataset(dataset_id: str | Path, streaming: bool) -> tuple[Iterator[tuple[str, Any]], int]:
    """The pictures in the first column of images; streaming fetches only those that are read."""
    rows, _ = _load_split(dataset_id, streaming=streaming)

    def read_rows() -> Iterator[tuple[str, Any]]:
        with _hub_errors(dataset_id):
            for i, row in enumerate(rows):
                yield _picture_of(row, i)

    return read_rows(), sys.maxsize if streaming else len(rows)


def _load_split(dataset_id: str | Path, **options: Any) -> tuple["datasets.Dataset", str]:
    """The images of the split "train", or of the first if there is none, and the split's name."""
    import datasets

    with _hub_errors(dataset_id):
        splits = datasets.load_dataset(str(dataset_id), **options)
    split = "train" if "train" in splits else next(iter(splits))
    return _only_images(splits[split], dataset_id), split


def _only_images(rows: "datasets.Dataset", source: str | Path) -> "datasets.Dataset":
    """The first column of images, not decoded: each row is {column: {"bytes": …, "path": …}}."""
    import datasets

    features = rows.features or {}
    column = next(
        (name for name, kind in features.items() if isinstance(kind, datasets.Image)), None
    )
    if column is None:
        raise FacesError(
            f"{source} has no column of images; its columns are: {', '.join(features)}"
        )
    return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))


def _picture_of(row: dict[str, dict | None], i: int) -> tuple[str, Any]:
    """The name and the bytes, or the file, of the picture in row i of `_only_images`."""
    (picture,) = row.values()
    picture = picture or {"bytes": None, "path": None}  # a missing one will count as unreadable
    return picture["path"] or f"picture {i}", picture["bytes"] or picture["path"]


@contextmanager
def _hub_errors(dataset_id: str | Path) -> Iterator[None]:
    """Turn what can go wrong with the Hub into advice."""
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        yield
    except FacesError:
        raise
    except (RepositoryNotFoundError, HFValidationError, DatasetNotFoundError) as error:
        raise FacesError(
            f"There is no data set {str(dataset_id)!r} on the Hub for you to read. Look for one at "
            "https://huggingface.co/datasets; a private or gated one needs `hf auth login`."
        ) from error
    except (EmptyDatasetError, DataFilesNotFoundError) as error:
        raise FacesError(f"There are no pictures in {dataset_id}.") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FacesError(f"Could not get {dataset_id} ({reason}). {OFFLINE_HELP}") from error


# --- more pictures than fit into memory -----------------------------------------------------------
@dataclass(frozen=True, eq=False, repr=False)
class Streamed:
    """N pictures that stay on the disk; `stream` makes one.

    rows: a memory-mapped table of `datasets` with one column, of encoded pictures or of paths.
    size: S, the pixels of a side.
    unreadable: the numbers of the pictures that could not be read so far, by this process.

    It holds no pictures, and can be sent to a DataLoader's processes, forked or spawned:

        DataLoader(range(len(p)), batch_size=64, shuffle=True, collate_fn=p.tensor, num_workers=2)
    """

    rows: "datasets.Dataset"
    size: int
    name: str
    unreadable: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Streamed({self.name}: {len(self):,} pictures of {self.size} px, from the disk)"

    def tensor(self, indices: Any) -> "torch.Tensor":
        """Some pictures, read now, as `Faces.tensor` gives them.

        indices: whole numbers from -N to N - 1, as many as fit into memory.
        Returns float32 (B, 3, S, S) in [-1, 1], channels last.

        A picture that cannot be read is replaced by the next one that can, after the last by the
        first: always by the same. The first call in a process that meets such pictures warns and
        counts them. FacesError if there is none that can be read, or for other indices; IndexError
        for a number out of range.
        """
        numbers = self._check_indices(indices)
        images = np.empty((len(numbers), self.size, self.size, 3), np.uint8)
        told, broken = bool(self.unreadable), []
        for place, i in enumerate(numbers):
            images[place], skipped = self._read(i)
            self.unreadable.update(skipped)
            broken += skipped[:1]
        if broken and not told:
            example, _ = _picture_of(self.rows[broken[0]], broken[0])
            warnings.warn(
                f"{len(broken)} of {len(numbers)} pictures that were asked of {self.name} cannot "
                f"be read, for example {example}. The next one takes the place of each, and of "
                "others like it, without another warning: `unreadable` has their numbers.",
                stacklevel=2,
            )
        return _to_tensor(images)

    def _read(self, i: int) -> tuple[np.ndarray, list[int]]:
        """Picture i, or the next that can be read, (S, S, 3), and the numbers of those between."""
        skipped = []
        for j in itertools.chain(range(i, len(self)), range(i)):
            if j not in self.unreadable:
                with suppress(Exception):  # decoders of broken files raise almost anything
                    return _open(_picture_of(self.rows[j], j)[1], self.size), skipped
            skipped.append(j)
        raise FacesError(
            f"None of the {len(self):,} pictures in {self.name} can be read. See whether a program "
            "for pictures opens them, and whether they are still where they were; then call "
            "faces.stream again."
        )

    def _check_indices(self, indices: Any) -> list[int]:
        numbers = np.atleast_1d(np.asarray(indices))
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            raise FacesError(
                f"indices are whole numbers, such as [0, 5], not {indices!r:.60}. All pictures at "
                "once may be more than fit into memory."
            )
        outside = numbers[(numbers < -len(self)) | (numbers >= len(self))]
        if outside.size:
            raise IndexError(f"{self.name} has {len(self):,} pictures, no number {outside[0]}")
        return [int(i) % len(self) for i in numbers]


def stream(source: str | Path, size: int = 64, cache_dir: str | Path | None = None) -> Streamed:
    """Pictures that are read from the disk one by one, however many they are.

    source: a folder with zip files of pictures at its top, or with Parquet files in the image
        convention of the `datasets` library (`Faces.save` writes one), or with pictures; of these,
        the first kind that is there. Or one .parquet file, or a data set of the Hugging Face Hub.
        The pictures and their order are those of `from_folder` and `from_hub`.
    size: the middle square of each is resized to size × size pixels.
    cache_dir: where `datasets` keeps its files, `settings.cache_dir() / "datasets"` if not given.

    Where a data set is split, this is "train": in a folder, what is in folders of that name, or the
    Parquet files with that word in their names, and everything if there are none; on the Hub, the
    split "train", or the first one if there is none.

    `datasets` writes a table once, an Arrow file that is mapped into memory and read where it is
    asked: for a folder only the paths, else a copy of the encoded pictures, so the disk needs their
    size again. This is not its `streaming=True`, which reads from the front, mixes only what is in
    a buffer, and has to read up to where it stopped: from a table any picture can be read at once,
    so an epoch can be shuffled whole and a run that was stopped goes on exactly. The next call
    finds the table; pictures that came, changed or went since then are noticed.

    Pictures that cannot be read are replaced: see `Streamed.tensor`. FacesError if there is no such
    file, folder or data set, no network, or no picture that can be read.
    """
    size = _check_size(size)
    path = Path(source).expanduser()
    cache = Path(cache_dir).expanduser() if cache_dir else settings.cache_dir() / "datasets"
    if path.is_file():
        rows, name = _file_table(path, cache), path.stem
    elif path.is_dir():
        rows, name = _folder_table(path.resolve(), cache)
    else:
        rows, name = _hub_table(source, cache)
    streamed = Streamed(rows, size, name)
    streamed._read(0)  # if none can be read, say so now
    return streamed


def _file_table(path: Path, cache: Path) -> "datasets.Dataset":
    if path.suffix.lower() != ".parquet":
        raise FacesError(
            f"{path} is no Parquet file. Give one that ends in .parquet, or the folder that holds "
            "your pictures, zip files or Parquet files."
        )
    return _parquet_table([path], path, cache)


def _folder_table(folder: Path, cache: Path) -> tuple["datasets.Dataset", str]:
    """The table of a folder's pictures, and its name, which says when it is only a part."""
    if zips := _fetch_zips(folder):
        return _zip_table(zips, folder, cache), folder.name
    shards = sorted(folder.rglob("*.parquet"))
    shards = [path for path in shards if not _is_hidden(path.relative_to(folder))]
    everything = shards or _pictures_in(folder)

    def is_train(path: Path) -> bool:
        inside = path.relative_to(folder)
        words = re.split(r"[\W\d_]+", str(inside)) if shards else inside.parent.parts
        return "train" in words  # data/train-00000-of-00002.parquet, or train/1.png

    # `datasets` would look for "test" too, and if it found one picture of that name, only see that.
    files = [path for path in everything if is_train(path)] or everything
    name = folder.name if len(files) == len(everything) else f"{folder.name}, train"
    if shards:
        return _parquet_table(files, folder, cache), name
    # Names that are no valid text cannot be stored: such a picture will count as unreadable.
    paths = tuple(str(file).encode(errors="replace").decode() for file in files)
    return _table(_path_rows, {"paths": paths}, len(paths), folder, cache), name


def _hub_table(source: str | Path, cache: Path) -> tuple["datasets.Dataset", str]:
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        zips = _fetch_zips(source)
    except FacesError as error:
        if isinstance(error.__cause__, HFValidationError) or isinstance(source, Path):
            raise _nowhere(Path(source)) from None
        missing = isinstance(error.__cause__, RepositoryNotFoundError)
        before = "" if missing else " With HF_HUB_OFFLINE=1, what was fetched before is found."
        raise FacesError(
            f"{error}{before} Nor is there a file or folder {source} in {Path.cwd()}."
        ) from error
    if zips:
        return _zip_table(zips, source, cache), str(source)
    rows, split = _load_split(source, cache_dir=str(cache))
    return rows, str(source) if split == "train" else f"{source}, {split}"


def _zip_table(zips: list[Path], source: str | Path, cache: Path) -> "datasets.Dataset":
    _, total = _from_zips(zips)
    if not total:
        raise FacesError(f"There are no pictures in the zip files of {source}.")
    files = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in zips)
    return _table(_zip_rows, {"files": files}, total, source, cache)


def _parquet_table(files: list[Path], source: Path, cache: Path) -> "datasets.Dataset":
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    for file in files:
        try:
            total += pq.read_metadata(file).num_rows
        except (OSError, pa.ArrowException) as error:
            raise _damaged(file, error) from error
    if not total:
        raise FacesError(f"There are no pictures in {source}.")
    # The names are taken for patterns: a folder "faces [2024]" would match nothing.
    patterns = [glob.escape(str(file.resolve())) for file in files]
    with _preparing(source, total, cache):
        rows = datasets.load_dataset(
            "parquet", data_files={"train": patterns}, split="train", cache_dir=str(cache)
        )
    return _only_images(rows, source)


def _table(
    make: Callable[..., Iterator[dict]], known: dict, total: int, source: str | Path, cache: Path
) -> "datasets.Dataset":
    """What `make(**known)` yields as a table on the disk, made once for each `known`.

    `load_dataset` would make one of a folder too, but in another order, of other types of files,
    and if some have "test" in their names, of those only.
    """
    import datasets

    features = datasets.Features({"image": datasets.Image(decode=False)})
    with _preparing(source, total, cache):
        return datasets.Dataset.from_generator(
            make, features=features, gen_kwargs=known, cache_dir=str(cache)
        )


def _path_rows(paths: tuple[str, ...]) -> Iterator[dict]:
    for path in paths:
        yield {"image": {"path": path, "bytes": None}}


def _zip_rows(files: tuple[tuple[str, int, int], ...]) -> Iterator[dict]:
    """The pictures in zip files, each given with its time and size: a new one is another table."""
    members, _ = _from_zips([Path(path) for path, _, _ in files])
    for name, encoded in members:
        # A bare name may be that of a file here, which `datasets` would read instead.
        yield {"image": {"path": f"zip://{name}", "bytes": encoded}}


@contextmanager
def _preparing(source: str | Path, total: int, cache: Path) -> Iterator[None]:
    """While `datasets` writes a table: bars for large ones only, and advice if it cannot."""
    from datasets import utils as bars

    was_quiet = bars.are_progress_bars_disabled()
    if total < SMALL:
        bars.disable_progress_bars()
    try:
        yield
    except Exception as error:
        cause = error.__cause__ or error  # `datasets` wraps what went wrong
        reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
        raise FacesError(
            f"Could not make a table of {source} in {cache} ({reason}). If a file is damaged, "
            "fetch or make it again; if the disk is full or not yours, give another cache_dir, or "
            "name another folder in COURSE_CACHE."
        ) from error
    finally:
        if not was_quiet:
            bars.enable_progress_bars()


# --- from files to pixels -------------------------------------------------------------------------
def _is_picture(path: Path) -> bool:
    """By its name; what macOS adds to folders and archives does not count."""
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _decode(encoded: Iterable[tuple[str, Any]], total: int, size: int, title: str) -> Faces:
    """Pictures from files or bytes, each a (name, source); unreadable ones skipped and counted."""

    def decode_one(item: tuple[str, Any]) -> np.ndarray | str:
        name, source = item
        try:
            return _open(source, size)
        except Exception:  # decoders of broken files raise almost anything
            return name

    encoded, decoded = iter(encoded), []
    with ThreadPoolExecutor(_cores()) as pool, _progress(total, f"reading {title}") as bar:
        while batch := list(itertools.islice(encoded, 256)):
            decoded += pool.map(decode_one, batch)
            bar.update(len(batch))
    images = [image for image in decoded if not isinstance(image, str)]
    broken = [name for name in decoded if isinstance(name, str)]
    if not decoded:
        raise FacesError(f"There are no pictures in {title}.")
    if not images:
        raise FacesError(f"None of the {len(broken)} pictures in {title} can be read.")
    if broken:
        warnings.warn(
            f"{len(broken)} of {len(decoded)} pictures in {title} cannot be read and are skipped, "
            f"for example {broken[0]}.",
            stacklevel=3,
        )
    return Faces(np.stack(images), name=title)


def _open(source: bytes | str | Path, size: int) -> np.ndarray:
    """The middle square, uint8 (size, size, 3), of an encoded picture or of a file."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return _square(image, size)


def _square(image: Image.Image, size: int) -> np.ndarray:
    """The largest square in the picture's middle, uint8 (size, size, 3)."""
    image.draft("RGB", (2 * size, 2 * size))  # a large JPEG can be read at a fraction of its size
    image = _rgb(ImageOps.exif_transpose(image))
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


# --- Parquet --------------------------------------------------------------------------------------
def read(path: str | Path, split: str | None = None) -> Faces:
    """Faces that were saved, or those of one split. FacesError if the file is missing or broken."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise FacesError(f"There is no file {path}.")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        if split is not None:
            table = table.filter(pc.equal(table["split"], split))
        return _from_table(table, name=path.stem if split is None else f"{path.stem}, {split}")
    except (OSError, ValueError, KeyError, SyntaxError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FacesError:
    return FacesError(
        f"{path} is damaged ({type(error).__name__}). Delete it and fetch or make it again."
    )


def _from_table(table: "pyarrow.Table", name: str) -> Faces:
    def decode(encoded: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))

    def column(name: str) -> list | None:
        return table[name].to_pylist() if name in table.column_names else None

    with ThreadPoolExecutor(_cores()) as pool:
        images = list(pool.map(decode, (row["bytes"] for row in column("image"))))
    known = [column(name) for name in ("attributes", "caption_en", "caption_zh", "seed")]
    return Faces(np.stack(images), *known, name=name)


def _write(faces: Faces, path: Path, split: list[str] | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Value
    from datasets import Image as ImageFeature

    def encode(image: np.ndarray) -> dict[str, bytes | None]:
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, "WEBP", lossless=True)  # half a PNG's size
        return {"bytes": encoded.getvalue(), "path": None}

    with ThreadPoolExecutor(_cores()) as pool:
        columns: dict[str, list] = {"image": list(pool.map(encode, faces.images))}
    features = {"image": ImageFeature()}
    optional = {
        "seed": faces.seeds,
        "caption_en": faces.captions_en,
        "caption_zh": faces.captions_zh,
        "split": split,
    }
    for column, values in optional.items():
        if values is not None:
            columns[column], features[column] = values, Value("string")
    if faces.attributes is not None:
        columns["attributes"] = faces.attributes
        features["attributes"] = {name: Value("string") for name in faces.attributes[0]}

    table = pa.Table.from_pydict(columns, schema=Features(features).arrow_schema)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _cached(name: str, make: Callable[[], Faces]) -> Faces:
    """What `make` makes, kept in the cache. Of processes that want it at once, one makes it."""
    try:
        folder = settings.cache_dir() / "faces"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.parquet"
        if path.exists():  # whole, since it was renamed into place; and another user's may be read
            with suppress(FacesError):
                return read(path)
        with FileLock(folder / f"{name}.lock"):
            return _read_or_make(path, make)
    except OSError as error:
        warnings.warn(
            f"{error}. Drawing without the cache; COURSE_CACHE can name another folder.",
            stacklevel=3,
        )
        return make()


def _read_or_make(path: Path, make: Callable[[], Faces]) -> Faces:
    if path.exists():
        try:
            return read(path)
        except FacesError:
            warnings.warn(f"{path} was damaged; its faces are drawn again.", stacklevel=4)
    faces = make()
    try:
        faces.save(path)
    except OSError as error:
        warnings.warn(f"{error}. The faces could not be kept for the next time.", stacklevel=4)
    return faces


def _key(job: Job, n: int, seed: int) -> str:
    """Changes with everything that the drawings and captions depend on."""
    versions = [metadata.version(package) for package in ("dicebear-core", "resvg-py", "pillow")]
    code = [
        Path(module).read_text(encoding="utf-8")
        for module in (__file__, captions.__code__.co_filename)
    ]
    everything = [job.definition, job.size, job.options, vocabulary(), versions, code, n, seed]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]


# --- checks ---------------------------------------------------------------------------------------
def _check_attributes(wanted: dict[str, Any], also: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Each attribute with a list of values, all of them known."""
    known = attribute_values()
    checked = {}
    for name, values in wanted.items():
        if name not in known:
            raise _unknown("attribute", name, known)
        checked[name] = [values] if isinstance(values, str) else list(values)
        if not checked[name]:
            raise FacesError(f"{name} needs a value; known: {', '.join(known[name])}")
        for value in checked[name]:
            if value not in (*known[name], *also):
                raise _unknown(name, value, known[name])
    return checked


def _check_size(size: int) -> int:
    if not _is_int(size) or not 8 <= size <= 1024:
        raise FacesError(f"size is a whole number of pixels from 8 to 1024, not {size!r}")
    return int(size)


def _is_int(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _nowhere(path: Path) -> FacesError:
    return FacesError(f"There is no folder {path}. This notebook works in {Path.cwd()}.")


def _unknown(what: str, given: Any, known: Iterable[str]) -> FacesError:
    close = difflib.get_close_matches(str(given), list(known), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return FacesError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def _progress(total: int, title: str) -> tqdm:
    return tqdm(total=total, desc=title, unit=" pictures", leave=False, disable=total < SMALL)
