"""Other people's pictures: from a folder, from zip files, from the Hugging Face Hub."""

import itertools
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.faces import checks
from course_lib.faces.checks import FacesError
from course_lib.faces.table import Faces, open_square, progress

if TYPE_CHECKING:
    import datasets

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
A_FOLDER = 'the path of a folder; "." is the one you are in'
A_DATA_SET = "a data set of the Hugging Face Hub, such as huggan/anime-faces"
ANY_OF_THEM = f"{A_FOLDER}; or that of a .parquet file; or {A_DATA_SET}"
OFFLINE_HELP = (
    "Without a network, use the faces that came with the course, faces.load(), "
    "or a folder of your own pictures, faces.from_folder(path)."
)


def from_folder(path: str | Path, size: int = 64) -> Faces:
    """All pictures in a folder and its folders: their middle squares, resized to size × size.

    png, jpg, jpeg, webp, bmp and gif (its first frame), in the order of their paths. Grey, palette
    and CMYK pictures become RGB, transparent ones get a white ground. Files that cannot be read are
    skipped with a warning that counts them. FacesError if the folder is missing or holds no picture
    that can be read.
    """
    size, folder = checks.size(size), checks.path(path, A_FOLDER)
    if not folder.exists():
        raise checks.nowhere(folder)
    if not folder.is_dir():
        raise FacesError(f"{folder} is a file. Give the folder that holds your pictures.")
    files = pictures_in(folder)
    encoded = ((str(file.relative_to(folder)), file) for file in files)
    return _decode(encoded, len(files), size, folder.name)


def pictures_in(folder: Path) -> list[Path]:
    """All pictures in a folder and its folders, in the order of their paths."""
    files = sorted(file for file in folder.rglob("*") if _is_picture(file.relative_to(folder)))
    files = [file for file in files if file.is_file()]
    if not files:
        raise FacesError(
            f"There are no pictures in {folder}: no file ends in {', '.join(sorted(SUFFIXES))}."
        )
    return files


def is_hidden(path: Path) -> bool:
    """By its name; what macOS adds to folders and archives does not count."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


def from_hub(dataset_id: str | Path, size: int = 64, limit: int | None = None) -> Faces:
    """A data set of pictures on the Hugging Face Hub, squared like those of `from_folder`.

    dataset_id: "huggan/anime-faces", or a folder laid out like such a repository: with zip files of
        pictures, or else a column of images in the split "train", or in the first if it has none.
    limit: take only the first pictures.

    Files are fetched once and kept by huggingface_hub; no code from the repository is ever run.

    FacesError if there is no such data set, no network, or no picture in it.
    """
    size, here = checks.size(size), checks.path(dataset_id, A_DATA_SET)
    if limit is not None and (not checks.is_int(limit) or limit < 1):
        raise FacesError(
            f"limit is a number of pictures, 1 or more, or None for all, not {limit!r}"
        )
    if zips := fetch_zips(dataset_id):
        encoded, total = from_zips(zips)
    else:
        encoded, total = _from_dataset(dataset_id, streaming=limit is not None)
    if limit is not None:
        encoded, total = itertools.islice(encoded, limit), min(limit, total)
    return _decode(encoded, total, size, here.name if here.is_dir() else str(dataset_id))


def fetch_zips(dataset_id: str | Path) -> list[Path]:
    """The zip files at the top of the repository, here or fetched from the Hub."""
    if Path(dataset_id).is_dir():
        return sorted(Path(dataset_id).glob("*.zip"))

    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    with _hub_errors(dataset_id):
        try:
            # The list of files first: without a network this fails at once, a download tries long.
            files = HfApi().dataset_info(str(dataset_id), timeout=10).siblings or []
        except Exception as error:
            there = not isinstance(error, RepositoryNotFoundError)
            before = _zips_fetched_before(str(dataset_id)) if there else []
            if before or isinstance(error, OfflineModeIsEnabled):
                return before
            raise
        names = sorted(file.rfilename for file in files)
        zips = [name for name in names if name.endswith(".zip") and "/" not in name]
        return [Path(hf_hub_download(str(dataset_id), name, repo_type="dataset")) for name in zips]


def _zips_fetched_before(dataset_id: str) -> list[Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(dataset_id, repo_type="dataset", local_files_only=True)
    except LocalEntryNotFoundError:
        return []
    return sorted(Path(folder).glob("*.zip"))


def from_zips(paths: list[Path]) -> tuple[Iterator[tuple[str, bytes | None]], int]:
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
    rows = only_images(load_split(dataset_id, streaming=streaming)[0], dataset_id)

    def read_rows() -> Iterator[tuple[str, Any]]:
        with _hub_errors(dataset_id):
            for i, row in enumerate(rows):
                yield picture_of(row, i)

    return read_rows(), sys.maxsize if streaming else len(rows)


def load_split(dataset_id: str | Path, **options: Any) -> tuple["datasets.Dataset", str]:
    """The split "train", or the first if there is none, and its name."""
    import datasets

    with _hub_errors(dataset_id):
        splits = datasets.load_dataset(str(dataset_id), **options)
    split = "train" if "train" in splits else next(iter(splits))
    return splits[split], split


def only_images(rows: "datasets.Dataset", source: str | Path) -> "datasets.Dataset":
    """The first column of images, not decoded: each row is {column: {"bytes": …, "path": …}}."""
    import datasets

    features = rows.features or {}
    for column, kind in features.items():
        if isinstance(kind, datasets.Image):
            return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    raise FacesError(f"{source} has no column of images; its columns are: {', '.join(features)}")


def picture_of(row: dict[str, dict | None], i: int) -> tuple[str, Any]:
    """The name and the bytes, or the file, of the picture in row i of `only_images`."""
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


def _decode(encoded: Iterable[tuple[str, Any]], total: int, size: int, title: str) -> Faces:
    """Pictures from files or bytes, each a (name, source); unreadable ones skipped and counted."""

    def decode_one(item: tuple[str, Any]) -> np.ndarray | str:
        name, source = item
        try:
            return open_square(source, size)
        except Exception:  # decoders of broken files raise almost anything
            return name

    encoded, decoded = iter(encoded), []
    with ThreadPoolExecutor() as pool, progress(total, f"reading {title}") as bar:
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
