"""Pictures and what is known about them: the type that the doors return, and its file."""

import functools
import hashlib
import io
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from course_lib import pixels, settings
from course_lib.captions import HIDDEN
from course_lib.faces import checks
from course_lib.faces.checks import FacesError
from course_lib.files import atomic

if TYPE_CHECKING:
    import pyarrow
    import torch

SPLITS = ("train", "held-out", "all")
SMALL = 128  # fewer pictures are done right here: no more processes, no progress bar, no cache
# What can be known about pictures, and the columns of a file that keep it.
COLUMNS = {
    "attributes": "attributes",
    "captions_en": "caption_en",
    "captions_zh": "caption_zh",
    "seeds": "seed",
}


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
        index = _index(key)
        rows = np.arange(len(self))[index]
        known = {name: getattr(self, name) for name in COLUMNS}
        picked = {name: column and [column[i] for i in rows] for name, column in known.items()}
        return replace(self, images=self.images[index], **picked)

    def tensor(self, indices: Any = None) -> "torch.Tensor":
        """The pictures as networks want them: float32 (B, 3, S, S) in [-1, 1], channels last."""
        return pixels.to_float(self.images if indices is None else self.images[_index(indices)])

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """Some pictures, uint8 (B, S, S, 3), and which they are, numbers from 0 to N - 1, (B,)."""
        index = _index(indices)
        return self.images[index], np.arange(len(self))[index]

    def caption(self, i: int, language: str = "en") -> str:
        """The stored caption of face i, in "en" or "zh"."""
        columns = {"en": self.captions_en, "zh": self.captions_zh}
        if language not in columns:
            raise checks.unknown("language", language, columns)
        if columns[language] is None:
            raise FacesError(f"{self.name}: only drawings of the course's own style have captions")
        return columns[language][i]

    def filter(self, **wanted: str | Iterable[str]) -> "Faces":
        """The faces that are like this: `filter(hair_color="red", mouth=["smile", "open"])`.

        FacesError for an unknown attribute or value; it lists the known ones.
        """
        if self.attributes is None:
            raise checks.no_attributes(self.name)
        wanted = checks.attributes(wanted, also=(HIDDEN,))
        fits = [all(face[name] in wanted[name] for name in wanted) for face in self.attributes]
        return self[np.flatnonzero(fits)]

    def fingerprint(self) -> str:
        """12 hexadecimal digits that other pictures, attributes or captions would not have."""
        known = [self.images.shape, self.attributes, self.captions_en, self.captions_zh]
        found = hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=6)
        found.update(np.ascontiguousarray(self.images))
        return found.hexdigest()

    def save(self, path: str | Path, split: list[str] | None = None) -> None:
        """Write a Parquet file in the image convention of the `datasets` library, or none at all.

        split: of each face, for `read`, which reads the file back. FacesError if there is no face.
        """
        import pyarrow.parquet as pq

        if not len(self):
            raise FacesError(f"{self.name}: there are no faces to save")
        table = _to_table(self, split)
        with atomic(Path(path)) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _index(key: Any) -> Any:
    """What an array can be indexed by; numpy takes an empty list for one of floats."""
    if isinstance(key, slice):
        return key
    index = np.atleast_1d(np.asarray(key))
    return index if index.size else index.astype(int)


def load(split: str = "train") -> Faces:
    """The faces that come with the course, 64×64.

    split: 5,400 to "train" on, 600 "held-out" for judging, or "all" 6,000. FacesError for another.
    """
    if split not in SPLITS:
        raise checks.unknown("split", split, SPLITS)
    path = settings.data_dir() / "faces.parquet"
    if not path.is_file():
        raise FacesError(
            f"{path} is missing: fetch the course again, or make it by python data/build_faces.py"
        )
    found = _decoded(path, path.stat().st_mtime_ns, split)
    attributes = [dict(known) for known in found.attributes]
    return replace(found, images=found.images.copy(), attributes=attributes)


@functools.lru_cache(maxsize=2)
def _decoded(path: Path, _changed: int, split: str) -> Faces:
    """Decoding takes seconds, and lessons, tests and commands ask again and again."""
    return replace(read(path, None if split == "all" else split), name=f"bundled, {split}")


def read(path: str | Path, split: str | None = None) -> Faces:
    """Faces that were saved, or those of one split.

    FacesError if the file is missing or broken, or has none of that split.
    """
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
        if table.num_rows:
            return _from_table(table, path.stem if split is None else f"{path.stem}, {split}")
    except (OSError, ValueError, KeyError, SyntaxError, pa.ArrowException) as error:
        raise checks.damaged(path, error) from error
    raise FacesError(f"There are no faces in {path}{'' if split is None else f', {split}'}.")


def _from_table(table: "pyarrow.Table", name: str) -> Faces:
    def decode(row: dict) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB"))

    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(decode, table["image"].to_pylist())))
    known = {
        name: table[column].to_pylist()
        for name, column in COLUMNS.items()
        if column in table.column_names
    }
    return Faces(images, **known, name=name)


def _to_table(faces: Faces, split: list[str] | None) -> "pyarrow.Table":
    import pyarrow as pa
    from datasets import Features, Value
    from datasets import Image as ImageFeature

    def encode(image: np.ndarray) -> dict[str, bytes | None]:
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, "WEBP", lossless=True)  # half a PNG's size
        return {"bytes": encoded.getvalue(), "path": None}

    with ThreadPoolExecutor() as pool:
        columns: dict[str, list] = {"image": list(pool.map(encode, faces.images))}
    texts = {
        "seed": faces.seeds,
        "caption_en": faces.captions_en,
        "caption_zh": faces.captions_zh,
        "split": split,
    }
    columns |= {column: values for column, values in texts.items() if values is not None}
    features: dict[str, Any] = dict.fromkeys(columns, Value("string")) | {"image": ImageFeature()}
    if faces.attributes is not None:
        columns["attributes"] = faces.attributes
        features["attributes"] = dict.fromkeys(faces.attributes[0], Value("string"))
    return pa.Table.from_pydict(columns, schema=Features(features).arrow_schema)


def open_square(source: bytes | str | Path, size: int) -> np.ndarray:
    """The largest square in the middle of a picture, encoded or in a file, on white.

    uint8 (size, size, 3). What cannot be read raises almost any error.
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        image.draft("RGB", (2 * size, 2 * size))  # a large JPEG can be read at a fraction of it
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def progress(total: int, title: str) -> tqdm:
    """A bar for many pictures, none for few."""
    return tqdm(total=total, desc=title, unit=" pictures", leave=False, disable=total < SMALL)
