"""Draws the bundled faces: `python data/build_faces.py` writes faces.parquet.

It prints the figures for the card, README.md. A picture keeps at most 256 colours: at 64 pixels
nobody sees the difference, and the file is half as large.
"""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from course_lib import faces

PATH = Path(__file__).resolve().parent / "faces.parquet"
NUMBER, SEED = 6000, 2023


def few_colours(image: np.ndarray) -> np.ndarray:
    """The picture, uint8 (S, S, 3), in at most 256 colours."""
    palette = Image.fromarray(image).quantize(
        256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
    )
    return np.asarray(palette.convert("RGB"))


def main() -> None:
    drawn = faces.render(NUMBER, SEED)
    reduced = np.stack([few_colours(image) for image in drawn.images])
    difference = reduced.astype(int) - drawn.images
    split = ["held-out" if i % 10 == 9 else "train" for i in range(NUMBER)]
    replace(drawn, images=reduced).save(PATH, split)

    print(f"{PATH.name}: {PATH.stat().st_size:,} bytes")
    print(f"sha256 {hashlib.sha256(PATH.read_bytes()).hexdigest()}")
    print(f"pixels sha256 {hashlib.sha256(reduced.tobytes()).hexdigest()}")
    error = np.mean(difference**2)
    print(f"256 colours: largest difference {abs(difference).max()}, mean square {error:.2f}")
    for name in faces.attribute_values():
        shares = Counter(face[name] for face in drawn.attributes)
        print(
            name,
            ", ".join(f"{value} {count / NUMBER:.1%}" for value, count in shares.most_common()),
        )


if __name__ == "__main__":
    main()
