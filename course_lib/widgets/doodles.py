"""Doodles, pictures of coloured cells written as letters, and how paintings of them are shown."""

from __future__ import annotations

import base64
import html
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from course_lib.errors import CourseError
from course_lib.plots import GREY, INK
from course_lib.widgets.canvas import SCALE, write
from course_lib.widgets.still import encode
from course_lib.widgets.words import broken, drawable

FACE = 128  # side of a picture, in shown pixels
CELLS, SIZE = 16, 64  # cells of a side; pixels of a side
PALETTE = {  # the letter in a doodle: what it is called, and its colour in the course's faces
    ".": ("sky", "#b9dcf6"),
    "w": ("white", "#f6f3f7"),
    "f": ("light skin", "#fbd0ae"),
    "t": ("tan skin", "#dba272"),
    "d": ("dark skin", "#9c643f"),
    "n": ("brown", "#7d4b2c"),
    "k": ("black", "#3a3545"),
    "s": ("silver", "#a3aabb"),
    "y": ("blonde", "#f6d365"),
    "o": ("orange", "#f28a2e"),
    "r": ("red", "#cc2536"),
    "p": ("pink", "#f79cc4"),
    "v": ("purple", "#8b55cf"),
    "b": ("blue", "#2f62d9"),
    "a": ("aqua", "#4fd3dd"),
    "g": ("green", "#45ad55"),
}
LETTERS = "".join(PALETTE)
RGB = np.array([ImageColor.getrgb(colour) for _, colour in PALETTE.values()], np.uint8)
DOODLE = """
................
.....bbbbbb.....
...bbbbbbbbbb...
..bbbbbbbbbbbb..
..bbbbbbbbbbbb..
..bbbbbbbbbbbb..
..bbbffbbffbbb..
..bbkkkffkkkbb..
..bbkgwffkgwbb..
..bbfggffggfbb..
..bbffffffffbb..
..bbbffrrffbbb..
..bb.ffffff.bb..
..bb...ff...bb..
...rrrwffwrrr...
..rrrrrwwrrrrr..
"""


def parse(doodle: str) -> np.ndarray:
    """A doodle's letters as places in the palette, uint8 (CELLS, CELLS)."""
    rows = doodle.split()
    if len(rows) != CELLS or any(len(row) != CELLS for row in rows):
        raise CourseError(f"a doodle has {CELLS} lines of {CELLS} letters, as `doodles.DOODLE`")
    if unknown := sorted({*"".join(rows)} - {*LETTERS}):
        raise CourseError(f"no colours: {' '.join(unknown)}; choose from {' '.join(LETTERS)}")
    return np.array([[LETTERS.index(letter) for letter in row] for row in rows], np.uint8)


def place(i: int, colour: int) -> str:
    row, column = divmod(i, CELLS)
    return f"row {row + 1}, column {column + 1}: {PALETTE[LETTERS[colour]][0]}"


def enlarged(doodle: np.ndarray, side: int) -> np.ndarray:
    """uint8 (side, side, 3) of places in the palette."""
    return RGB[np.kron(doodle, np.ones((side // CELLS,) * 2, np.uint8))]


class Painting(NamedTuple):
    """What was asked for, and what came of it."""

    doodle: np.ndarray  # (CELLS, CELLS), places in the palette
    prompt: str
    strength: float
    seeds: list[int]
    faces: np.ndarray  # uint8 (B, S, S, 3)


def grid(painted: Painting) -> str:
    cells = []
    for seed, face in zip(painted.seeds, painted.faces, strict=True):
        data = base64.b64encode(encode(Image.fromarray(face))).decode("ascii")
        look = f"width:{FACE}px;height:{FACE}px;image-rendering:pixelated"
        cells.append(
            f"<div style='margin:2px'><img style='{look}' alt='face of seed {seed}' "
            f"src='data:image/png;base64,{data}'><br>seed {seed}</div>"
        )
    grid = f"<div class='course-grid' style='max-width:{4 * (FACE + 4)}px'>{''.join(cells)}</div>"
    asked = html.escape(f"“{painted.prompt}”" if painted.prompt else "no prompt")
    return f"{grid}{asked}, strength {painted.strength:g}"


def draw_painting(painted: Painting, columns: int = 4) -> Image.Image:
    side, gap, arrow, foot = (SCALE * v for v in (FACE, 4, 48, 20))
    columns = min(columns, len(painted.faces))
    rows = -(-len(painted.faces) // columns)
    start = side + arrow
    width = start + columns * (side + gap) - gap
    prompt = drawable(painted.prompt) or (painted.prompt and "(not in Latin letters)")
    asked = f"prompt: {prompt}" if prompt else "no prompt"
    lines = [*broken(asked, width, 13), f"strength {painted.strength:g}"]
    below = rows * (side + foot) + 4 * SCALE
    picture = Image.new("RGB", (width, below + len(lines) * foot), "white")
    draw = ImageDraw.Draw(picture)
    picture.paste(Image.fromarray(enlarged(painted.doodle, side)), (0, 0))
    write(draw, (side / 2, side + foot / 2), "doodle", "mm", colour=GREY)
    middle, tip = side / 2, start - 10 * SCALE
    draw.line((side + 10 * SCALE, middle, tip - 8 * SCALE, middle), fill=INK, width=2 * SCALE)
    head = [
        (tip, middle),
        (tip - 10 * SCALE, middle - 6 * SCALE),
        (tip - 10 * SCALE, middle + 6 * SCALE),
    ]
    draw.polygon(head, fill=INK)
    for i, (seed, face) in enumerate(zip(painted.seeds, painted.faces, strict=True)):
        left, top = start + i % columns * (side + gap), i // columns * (side + foot)
        shown = Image.fromarray(face).resize((side, side), Image.Resampling.NEAREST)
        picture.paste(shown, (left, top))
        write(draw, (left + side / 2, top + side + foot / 2), f"seed {seed}", "mm", colour=GREY)
    for i, line in enumerate(lines):
        write(draw, (0, below + (i + 0.5) * foot), line, size=13)
    return picture
