"""Pictures for the tests: noise, encoded, and folders full of it."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
BUNDLED_SEED = 2023  # as in data/build_faces.py


def noise(width: int = 70, height: int = 64, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scribble(seed: int) -> bytes:
    return encoded(noise(40, 30, seed))


def fill(folder: Path, *names: str) -> Path:
    """Pictures of these names in a folder, each with other pixels."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(scribble(len(list(folder.rglob("*.*")))))
    return folder
