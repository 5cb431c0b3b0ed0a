"""The toy GAN's plane and charts, drawn with Pillow: fast enough to play."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from course_lib import toy
from course_lib.plots import DISCRIMINATOR, FAKE, GENERATOR, GREY, INK, NET, REAL

SCALE = 2  # pictures have twice the pixels they are shown with: smooth lines, sharp on fine screens
PLANE = 396  # side of the drawn plane, in shown pixels
WIDTH, HEIGHT = 840, 464
HEADLINE = 22  # above the plane
ARROW, LONGEST_ARROW = 0.2, 0.4  # an arrow's length on the plane for a pull of 1; the limit


def _belief_palette(strength: float = 0.5) -> list[int]:
    """256 colours from the forgeries' (D is sure it is forged) over white to the data's."""
    away = np.linspace(-1, 1, 256)[:, None]
    tint = np.where(away < 0, ImageColor.getrgb(FAKE), ImageColor.getrgb(REAL))
    return (255 + (tint - 255) * np.abs(away) * strength).round().astype(int).ravel().tolist()


BELIEF_PALETTE = _belief_palette()


@functools.cache
def _font(size: float) -> ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)


def write(draw, at, words: str, anchor: str = "lm", size: float = 12, colour: str = INK) -> None:
    """Words `at` (x, y), in drawn pixels; their size is in shown ones. anchor: as Pillow has it."""
    draw.text(at, words, fill=colour, font=_font(size), anchor=anchor)


@functools.cache
def _marker(colour: str, corners: int | None, radius: float) -> Image.Image:
    """A small disc, or a diamond if `corners` is 4, with a white rim, on nothing."""
    big = 4 * SCALE
    side = int(2 * radius + 4)
    marker = Image.new("RGBA", (side * big, side * big), "#FFFFFF00")
    draw = ImageDraw.Draw(marker)
    middle = side * big / 2
    for size, fill in ((radius + 1, "white"), (radius, colour)):
        if corners is None:
            draw.circle((middle, middle), size * big, fill=fill)
        else:
            draw.regular_polygon((middle, middle, size * big * 1.15), corners, 45, fill=fill)
    return marker.resize((side * SCALE, side * SCALE), Image.Resampling.LANCZOS)


def draw_plane(
    scene: toy.Scene,
    *,
    title: str = "The plane",
    rounds: int | None = None,
    heat: bool = True,
    net: bool = True,
    arrow: float = ARROW,
    before=None,
) -> Image.Image:
    """The plane with everything on it, under a headline.

    arrow: how long an arrow is drawn for a pull of 1; 0 draws none.
    before: where the forgeries (200, 2) were a moment ago; they are drawn with a trail.
    """
    size = PLANE * SCALE
    if heat:
        levels = (scene.belief.nan_to_num(0.5).numpy() * 255).round().astype(np.uint8)
        plane = Image.fromarray(levels).resize((size, size), Image.Resampling.BICUBIC)
        plane.putpalette(BELIEF_PALETTE)
        plane = plane.convert("RGB")
    else:
        plane = Image.new("RGB", (size, size), "#FAFAFA")
    draw = ImageDraw.Draw(plane, "RGBA")
    if net:
        for line in _on_plane(scene.grid):
            draw.line(line.ravel().tolist(), fill=NET + "88", width=3 * SCALE // 2)
    _paste_all(plane, _marker(REAL, None, 2.6), _on_plane(scene.real))
    fake = _on_plane(scene.fake)
    if before is not None:
        for start, end in zip(_on_plane(before).tolist(), fake.tolist(), strict=True):
            draw.line((*start, *end), fill=FAKE + "90", width=2 * SCALE)
    if arrow:
        _draw_arrows(draw, fake, scene.pull.nan_to_num(0).numpy() * (1, -1), arrow)
    _paste_all(plane, _marker(FAKE, 4, 2.9), fake)

    picture = _under_headline(plane, title, rounds)
    if outside := scene.outside():
        draw = ImageDraw.Draw(picture)
        words = f"{outside} of {len(scene.fake)} forgeries lie outside this square"
        at = (8 * SCALE, 36 * SCALE)
        left, top, right, bottom = draw.textbbox(at, words, font=_font(12), anchor="lm")
        rim = 3 * SCALE
        draw.rectangle((left - rim, top - rim, right + rim, bottom + rim), "white")
        write(draw, at, words, colour=FAKE)
    return picture


def draw_walk(real, points, arrows, *, title: str, rounds: int) -> Image.Image:
    """The plane of a diffusion model: points on their way, and where the network sends what comes.

    real, points: (N, 2). arrows: places (M, 2) and the way each is sent (M, 2), drawn a fifth long.
    """
    size = PLANE * SCALE
    plane = Image.new("RGB", (size, size), "#FAFAFA")
    places, ways = (np.asarray(part, dtype=float) for part in arrows)
    _draw_arrows(ImageDraw.Draw(plane), _on_plane(places), ways * (1, -1), 0.2)
    _paste_all(plane, _marker(REAL, None, 2.6), _on_plane(real))
    _paste_all(plane, _marker(FAKE, 4, 2.9), _on_plane(points))
    return _under_headline(plane, title, rounds)


def _under_headline(plane: Image.Image, title: str, rounds: int | None) -> Image.Image:
    size = plane.width
    picture = Image.new("RGB", (size, size + HEADLINE * SCALE), "white")
    picture.paste(plane, (0, HEADLINE * SCALE))
    draw = ImageDraw.Draw(picture)
    write(draw, (0, 11 * SCALE), title, size=13)
    if rounds is not None:
        write(draw, (size, 11 * SCALE), f"round {rounds}", "rm", size=13)
    return picture


def _on_plane(points) -> np.ndarray:
    """Points (…, 2) of the toy's plane → drawn pixels (…, 2)."""
    far = 9 * toy.REACH  # where a game that has diverged is drawn: outside, but not too far
    points = np.nan_to_num(np.asarray(points, dtype=float), nan=far).clip(-far, far)
    return (points * (1, -1) / toy.REACH + 1) * (PLANE * SCALE / 2)


def _paste_all(plane: Image.Image, marker: Image.Image, middles: np.ndarray) -> None:
    for x, y in (middles - marker.width / 2).round().astype(int).tolist():
        plane.paste(marker, (x, y), marker)


def _draw_arrows(
    draw: ImageDraw.ImageDraw, start: np.ndarray, pull: np.ndarray, arrow: float
) -> None:
    """Arrows from start (N, 2), in pixels, along pull (N, 2); very short ones are left out."""
    strength = np.linalg.norm(pull, axis=1, keepdims=True) + 1e-9
    length = np.minimum(strength * arrow, LONGEST_ARROW) * PLANE * SCALE / (2 * toy.REACH)
    direction = pull / strength
    sideways = direction[:, ::-1] * (1, -1)
    end = start + direction * length
    head = np.minimum(length, 5 * SCALE)
    left = end - (direction - sideways / 2) * head
    right = end - (direction + sideways / 2) * head
    for i in np.flatnonzero(length[:, 0] > 1.5 * SCALE):
        draw.line((*start[i], *end[i]), fill=INK, width=SCALE)
        draw.polygon((*end[i], *left[i], *right[i]), fill=INK)


@functools.cache
def _legend(width: int) -> Image.Image:
    """The line under the plane that says what is what."""
    legend = Image.new("RGB", (width * SCALE, 40 * SCALE), "white")
    draw = ImageDraw.Draw(legend)
    for x, y, words in (
        (14, 10, "real"),
        (67, 10, "forged"),
        (141, 10, "D's pull on a forgery"),
        (297, 10, "G's net of noise"),
        (2, 31, "D is sure: forged"),
        (271, 31, "D is sure: real"),
    ):
        write(draw, (x * SCALE, y * SCALE), words)
    for x, marker in ((2, _marker(REAL, None, 3.5)), (54, _marker(FAKE, 4, 3.9))):
        legend.paste(marker, (x * SCALE, 10 * SCALE - marker.height // 2), marker)
    draw.line((114 * SCALE, 10 * SCALE, 132 * SCALE, 10 * SCALE), fill=INK, width=SCALE)
    draw.polygon([v * SCALE for v in (136, 10, 130, 7, 130, 13)], fill=INK)
    for offset in (-4, 0, 4):
        draw.line([v * SCALE for v in (276, 10 + offset, 292, 10 + offset)], fill=NET, width=SCALE)
        draw.line([v * SCALE for v in (284 + offset, 2, 284 + offset, 18)], fill=NET, width=SCALE)
    bar = Image.new("P", (256, 1))
    bar.putpalette(BELIEF_PALETTE)
    bar.putdata(range(256))
    legend.paste(bar.convert("RGB").resize((150 * SCALE, 10 * SCALE)), (114 * SCALE, 26 * SCALE))
    return legend


def _chart(
    draw: ImageDraw.ImageDraw,
    top: float,
    title: str,
    note: Sequence[tuple[str, str]],
    curves: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    ticks: dict[float, str],
    dashed: float | None = None,
) -> None:
    """One chart, 104 high, in the right half of the picture.

    note: (words, colour) for the right end of the headline. curves: (colour, x, y), x in 0…1.
    ticks: height → label; the lowest and highest are the limits, widened if the curves go beyond.
    """
    left, right, top, bottom = (SCALE * v for v in (PLANE + 64, WIDTH - 4, top, top + 104))
    low, high = min(ticks), max(ticks)
    curves = [(colour, x, np.clip(np.asarray(y, dtype=float), -99, 99)) for colour, x, y in curves]
    for _, _, y in curves:
        if len(y) and np.isfinite(y).any():
            low, high = min(low, np.nanquantile(y, 0.01)), max(high, np.nanquantile(y, 0.99))
    if (low, high) != (min(ticks), max(ticks)):
        ticks = {low: f"{low:.1f}", high: f"{high:.1f}"}

    def height(value):
        return bottom - (np.clip(value, low, high) - low) / (high - low) * (bottom - top)

    draw.rectangle((left, top, right, bottom), fill="#F7F7F7")
    write(draw, (left, top - 7 * SCALE), title, "ls")
    end = right
    for words, colour in reversed(note):
        write(draw, (end, top - 7 * SCALE), words, "rs", colour=colour)
        end -= draw.textlength(words, font=_font(12)) + 12 * SCALE
    for value, label in ticks.items():
        write(draw, (left - 6 * SCALE, height(value)), label, "rm", size=11, colour=GREY)
    if dashed is not None:
        y = height(dashed)
        for x in range(left, right, 8 * SCALE):
            draw.line((x, y, x + 4 * SCALE, y), fill="#888888", width=SCALE)
    for colour, x, y in curves:
        if len(y) > 1:
            path = np.stack([left + np.asarray(x) * (right - left), height(y)], axis=1)
            path = path[np.isfinite(path).all(axis=1)]
            draw.line(path.ravel().tolist(), fill=colour, width=2 * SCALE)


def draw_charts(
    gan: toy.ToyGAN, distances: Sequence[tuple[int, float]] = (), floor: float | None = None
) -> Image.Image:
    """What stands around the plane: its legend, and three charts of the game so far.

    distances: (round, distance) as the game went on; floor: what chance leaves of it.
    """
    picture = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
    draw = ImageDraw.Draw(picture)
    picture.paste(_legend(PLANE), (0, (PLANE + HEADLINE + 2) * SCALE))
    stride = gan.rounds // 300 + 1  # a chart is 400 pixels wide: 300 points are enough
    history = {name: values[::stride] for name, values in gan.history.items()}
    x = np.linspace(0, 1, len(history["loss_D"]))
    measured = np.array(distances[:: len(distances) // 300 + 1], dtype=float).reshape(-1, 2)
    _chart(
        draw,
        top=38,
        title="Losses",
        note=[("of D", DISCRIMINATOR), ("of G", GENERATOR)],
        curves=[(DISCRIMINATOR, x, history["loss_D"]), (GENERATOR, x, history["loss_G"])],
        ticks={0.0: "0", 1.0: "1", 2.0: "2"},
    )
    _chart(
        draw,
        top=178,
        title="D's mean belief",
        note=[("about real points", REAL), ("about forgeries", FAKE)],
        curves=[(REAL, x, history["D_real"]), (FAKE, x, history["D_fake"])],
        ticks={0.0: "forged 0", 0.5: "unsure 0.5", 1.0: "real 1"},
        dashed=0.5,
    )
    _chart(
        draw,
        top=318,
        title="Distance of the forgeries",
        note=[] if floor is None else [("dashed: what chance leaves", GREY)],
        curves=[(INK, measured[:, 0] / max(gan.rounds, 1), measured[:, 1])],
        ticks={0.0: "0", 0.35: "0.35", 0.7: "0.7"},
        dashed=floor,
    )
    words = f"rounds 0 to {gan.rounds}"
    write(draw, ((WIDTH - 4) * SCALE, 428 * SCALE), words, "rt", size=11, colour=GREY)
    return picture


def draw_game(gan: toy.ToyGAN, distances=(), floor=None, **shown) -> Image.Image:
    """The whole picture: `draw_plane` (shown: its options) among `draw_charts`."""
    picture = draw_charts(gan, distances, floor)
    picture.paste(draw_plane(gan.scene(), rounds=gan.rounds, **shown), (0, 0))
    return picture
