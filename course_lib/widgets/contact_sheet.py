"""Contact sheets: pictures of any kind and size, and the boxes to be ticked beneath them."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw

from course_lib.errors import CourseError
from course_lib.pixels import to_uint8
from course_lib.plots import INK
from course_lib.widgets.canvas import SCALE, write
from course_lib.widgets.still import encode
from course_lib.widgets.words import broken, drawable

SHOWN = 160  # the longer side of a picture, in shown pixels; at most
DRAWN = 128  # the same in the still, where it has SCALE times as many
Answers = list[bool | None]  # of each picture; None until it is given


def opened_pictures(images: Any, prompt: str) -> list[Image.Image]:
    """Pictures of any kind as RGB, no larger than they are needed."""
    several = images if isinstance(images, list | tuple) else to_uint8(images)
    opened = []
    for one in several:
        if isinstance(one, Image.Image):
            opened.append(one.convert("RGB"))
        else:
            opened += map(Image.fromarray, to_uint8(one))
    if not opened:
        raise CourseError(f"“{prompt}” has no pictures; give one or more")
    for picture in opened:
        picture.thumbnail((SHOWN * SCALE,) * 2)
    return opened


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Its longer side as long as `side`; small pictures keep their sharp pixels."""
    by = side / max(picture.size)
    size = [max(1, round(by * length)) for length in picture.size]
    how = Image.Resampling.NEAREST if by > 1 else Image.Resampling.LANCZOS
    return picture.resize(size, how)


def tag(picture: Image.Image, says: str) -> str:
    small = max(picture.size) <= SHOWN / 2
    form, options = ("PNG", {}) if small else ("JPEG", {"quality": 90})
    data = base64.b64encode(encode(picture, form, **options)).decode("ascii")
    by = SHOWN / max(picture.size)
    width, height = (round(by * length) for length in picture.size)
    look = f"width:{width}px;height:{height}px" + (";image-rendering:pixelated" if small else "")
    source = f"data:image/{form.lower()};base64,{data}"
    return f"<img style='{look}' alt='{html.escape(says)}' src='{source}'>"


def draw_sheet(
    prompt: str, images: list[Image.Image], asked: Mapping[str, Answers], otherwise: str
) -> Image.Image:
    """One prompt's part of the still. otherwise: its heading where the font lacks its letters."""
    columns = min(4, len(images))
    side, gap, line = DRAWN * SCALE, 12 * SCALE, 13 * SCALE
    width = columns * (side + gap) - gap
    beside = 16 * SCALE  # right of a box
    criteria = [broken(drawable(one) or "?", side - beside, 10, most=3) for one in asked]
    foot = sum(line * len(lines) + 4 * SCALE for lines in criteria) + 12 * SCALE
    shown = [_fitted(image, side) for image in images]
    tallest = max(image.height for image in shown)
    rows = -(-len(images) // columns)
    heading = broken(drawable(prompt) or otherwise, width, 13)
    top = len(heading) * 18 * SCALE + 4 * SCALE
    picture = Image.new("RGB", (width, top + rows * (tallest + foot)), "white")
    draw = ImageDraw.Draw(picture)
    for i, words in enumerate(heading):
        write(draw, (0, (i + 0.5) * 18 * SCALE), words, size=13)
    for i, image in enumerate(shown):
        left, y = i % columns * (side + gap), top + i // columns * (tallest + foot)
        y += tallest
        picture.paste(image, (left + (side - image.width) // 2, y - image.height))
        y += 6 * SCALE
        for lines, answers in zip(criteria, asked.values(), strict=True):
            _draw_box(draw, left, y + 2 * SCALE, answers[i])
            for words in lines:
                write(draw, (left + beside, y + line / 2), words, size=10)
                y += line
            y += 4 * SCALE
    return picture


def _draw_box(draw: ImageDraw.ImageDraw, left: float, top: float, answer: bool | None) -> None:
    side = 9 * SCALE
    draw.rectangle((left, top, left + side, top + side), outline=INK, width=SCALE)
    if answer is None:
        return
    strokes = [(0.2, 0.5, 0.45, 0.8), (0.45, 0.8, 0.85, 0.2)] if answer else [
        (0.2, 0.2, 0.8, 0.8), (0.2, 0.8, 0.8, 0.2),
    ]  # fmt: skip
    for stroke in strokes:
        x0, y0, x1, y1 = (side * part for part in stroke)
        draw.line((left + x0, top + y0, left + x1, top + y1), fill=INK, width=2 * SCALE)
