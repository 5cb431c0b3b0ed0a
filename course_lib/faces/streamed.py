"""More pictures than fit into memory: a table on the disk, each picture read when it is asked."""

import glob
import hashlib
import itertools
import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib import pixels, settings
from course_lib.faces import checks, collected
from course_lib.faces.checks import FacesError
from course_lib.faces.table import SMALL, open_square

if TYPE_CHECKING:
    import datasets
    import torch

SAMPLE = 64  # pictures that a fingerprint looks at, and how many bytes of each
SAMPLE_BYTES = 2**16


@dataclass(frozen=True, eq=False, repr=False)
class Streamed:
    """N pictures that stay on the disk; `stream` makes one.

    rows: a memory-mapped table of `datasets` with one column, of encoded pictures or of paths.
    size: S, the pixels of a side.
    known: the same table with the one column "attributes", or None where they are not known.
    unreadable: the numbers of the pictures that could not be read so far, by this process.

    It holds no pictures, and can be sent to a DataLoader's processes, forked or spawned:

        DataLoader(range(len(p)), batch_size=64, shuffle=True, collate_fn=p.tensor, num_workers=2)
    """

    rows: "datasets.Dataset"
    size: int
    name: str
    known: "datasets.Dataset | None" = None
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
        return pixels.to_float(self.take(indices)[0])

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """The pictures of `tensor` as uint8 (B, S, S, 3), and the numbers of those read, (B,)."""
        numbers = self._check_indices(indices)
        images = np.empty((len(numbers), self.size, self.size, 3), np.uint8)
        told, broken = bool(self.unreadable), []
        for place, i in enumerate(numbers):
            images[place], numbers[place], skipped = self._read(i)
            self.unreadable.update(skipped)
            broken += skipped[:1]
        if broken and not told:
            example, _ = self._encoded(broken[0])
            warnings.warn(
                f"{len(broken)} of {len(numbers)} pictures that were asked of {self.name} cannot "
                f"be read, for example {example}. The next one takes the place of each, and of "
                "others like it, without another warning: `unreadable` has their numbers.",
                stacklevel=3,
            )
        return images, np.array(numbers, int)

    def fingerprint(self) -> str:
        """12 hexadecimal digits that other pictures would not have, of another size neither.

        It looks at some of the pictures, wherever the table and the files are.
        """
        rows = np.unique(np.linspace(0, len(self) - 1, SAMPLE).round().astype(int))
        known = self.known[rows]["attributes"] if self.known else None
        about = json.dumps([len(self), self.size, known], sort_keys=True)
        found = hashlib.blake2b(about.encode(), digest_size=6)
        for i in rows:
            found.update(_beginning(self._encoded(int(i))[1]))
        return found.hexdigest()

    def _read(self, i: int) -> tuple[np.ndarray, int, list[int]]:
        """Picture i or the next that can be read, (S, S, 3), its number, and those between."""
        skipped = []
        for j in itertools.chain(range(i, len(self)), range(i)):
            if j not in self.unreadable:
                with suppress(Exception):  # decoders of broken files raise almost anything
                    return open_square(self._encoded(j)[1], self.size), j, skipped
            skipped.append(j)
        raise FacesError(
            f"None of the {len(self):,} pictures in {self.name} can be read. See whether a program "
            "for pictures opens them, and whether they are still where they were; then call "
            "faces.stream again."
        )

    def _encoded(self, i: int) -> tuple[str, bytes | str | None]:
        return collected.picture_of(self.rows[i], i)

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
    size, path = checks.size(size), checks.path(source, collected.ANY_OF_THEM)
    cache = Path(cache_dir).expanduser() if cache_dir else settings.cache_dir() / "datasets"
    if path.is_file():
        rows, name = _parquet_table([path], path, cache), path.stem
    elif path.is_dir():
        rows, name = _folder_table(path.resolve(), cache)
    else:
        rows, name = _hub_table(source, cache)
    streamed = Streamed(collected.only_images(rows, source), size, name, _only_attributes(rows))
    streamed._read(0)  # if none can be read, say so now
    return streamed


def _only_attributes(rows: "datasets.Dataset") -> "datasets.Dataset | None":
    """The column of what was drawn, if there is one as `Faces.save` writes it."""
    kind = rows.features.get("attributes")
    if isinstance(kind, dict) and set(kind) == set(checks.attribute_values()):
        return rows.select_columns(["attributes"])
    return None


def _beginning(source: bytes | str | None) -> bytes:
    """The size and the first bytes of a picture, encoded or in a file; of none, that of nothing."""
    size, start = 0, b""
    if isinstance(source, bytes):
        size, start = len(source), source[:SAMPLE_BYTES]
    elif source:
        with suppress(OSError), Path(source).open("rb") as file:
            size, start = Path(source).stat().st_size, file.read(SAMPLE_BYTES)
    return b"%d " % size + start


def _folder_table(folder: Path, cache: Path) -> tuple["datasets.Dataset", str]:
    """The table of a folder's pictures, and its name, which says when it is only a part."""
    if zips := collected.fetch_zips(folder):
        return _zip_table(zips, folder, cache), folder.name
    shards = sorted(folder.rglob("*.parquet"))
    shards = [path for path in shards if not collected.is_hidden(path.relative_to(folder))]
    everything = shards or collected.pictures_in(folder)

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
        zips = collected.fetch_zips(source)
    except FacesError as error:
        if isinstance(error.__cause__, HFValidationError) or isinstance(source, Path):
            raise checks.nowhere(Path(source)) from None
        missing = isinstance(error.__cause__, RepositoryNotFoundError)
        before = "" if missing else " With HF_HUB_OFFLINE=1, what was fetched before is found."
        raise FacesError(
            f"{error}{before} Nor is there a file or folder {source} in {Path.cwd()}."
        ) from error
    if zips:
        return _zip_table(zips, source, cache), str(source)
    rows, split = collected.load_split(source, cache_dir=str(cache))
    return rows, str(source) if split == "train" else f"{source}, {split}"


def _zip_table(zips: list[Path], source: str | Path, cache: Path) -> "datasets.Dataset":
    _, total = collected.from_zips(zips)
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
        if file.suffix.lower() != ".parquet":
            raise FacesError(
                f"{file} is no Parquet file. Give one that ends in .parquet, or the folder that "
                "holds your pictures, zip files or Parquet files."
            )
        try:
            total += pq.read_metadata(file).num_rows
        except (OSError, pa.ArrowException) as error:
            raise checks.damaged(file, error) from error
    if not total:
        raise FacesError(f"There are no pictures in {source}.")
    # The names are taken for patterns: a folder "faces [2024]" would match nothing.
    patterns = [glob.escape(str(file.resolve())) for file in files]
    with _preparing(source, total, cache):
        return datasets.load_dataset(
            "parquet", data_files={"train": patterns}, split="train", cache_dir=str(cache)
        )


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
    members, _ = collected.from_zips([Path(path) for path, _, _ in files])
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
