"""Interactive figures, made of core ipywidgets only, so that JupyterLab and Colab both show them.

A picture is drawn with Pillow, which is fast enough to play, and put into an `Image` widget. Where
there is no kernel, as on GitHub, a still of the same picture stands in its place.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import threading
import time
from collections.abc import Callable, Sequence

import ipywidgets
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from course_lib import toy
from course_lib.plots import DISCRIMINATOR, FAKE, GENERATOR, GREY, REAL

# ---------------------------------------------------------------- pictures of the toy GAN

SCALE = 2  # pictures have twice the pixels they are shown with: smooth lines, sharp on fine screens
PLANE = 396  # side of the drawn plane, in shown pixels
WIDTH, HEIGHT = 840, 464
INK = "#333333"
NET = "#5B3A8C"
HEADLINE = 22  # above the plane
ARROW, LONGEST_ARROW = 0.2, 0.4  # an arrow's length on the plane for a pull of 1; the limit


def _rgb(colour: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(colour), dtype=float)


def _belief_palette(strength: float = 0.5) -> list[int]:
    """256 colours from the forgeries' (D is sure it is forged) over white to the data's."""
    away = np.linspace(-1, 1, 256)[:, None]
    tint = np.where(away < 0, _rgb(FAKE), _rgb(REAL))
    return (255 + (tint - 255) * np.abs(away) * strength).round().astype(int).ravel().tolist()


BELIEF_PALETTE = _belief_palette()


@functools.cache
def _font(size: float) -> ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)


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

    def pixels(points) -> np.ndarray:
        far = 9 * toy.REACH  # where a game that has diverged is drawn: outside, but not too far
        points = np.nan_to_num(np.asarray(points, dtype=float), nan=far).clip(-far, far)
        return (points * (1, -1) / toy.REACH + 1) * (size / 2)

    if heat:
        levels = (scene.belief.nan_to_num(0.5).numpy() * 255).round().astype(np.uint8)
        plane = Image.fromarray(levels).resize((size, size), Image.Resampling.BICUBIC)
        plane.putpalette(BELIEF_PALETTE)
        plane = plane.convert("RGB")
    else:
        plane = Image.new("RGB", (size, size), "#FAFAFA")
    draw = ImageDraw.Draw(plane, "RGBA")
    if net:
        for line in pixels(scene.grid):
            draw.line(line.ravel().tolist(), fill=NET + "88", width=3 * SCALE // 2)
    disc, diamond = _marker(REAL, None, 2.6), _marker(FAKE, 4, 2.9)
    for x, y in (pixels(scene.real) - disc.width / 2).round().astype(int).tolist():
        plane.paste(disc, (x, y), disc)
    fake = pixels(scene.fake)
    if before is not None:
        for start, end in zip(pixels(before).tolist(), fake.tolist(), strict=True):
            draw.line((*start, *end), fill=FAKE + "90", width=2 * SCALE)
    if arrow:
        _draw_arrows(draw, fake, scene.pull.nan_to_num(0).numpy() * (1, -1), arrow)
    for x, y in (fake - diamond.width / 2).round().astype(int).tolist():
        plane.paste(diamond, (x, y), diamond)

    picture = Image.new("RGB", (size, size + HEADLINE * SCALE), "white")
    picture.paste(plane, (0, HEADLINE * SCALE))
    draw = ImageDraw.Draw(picture)
    outside = scene.outside()
    if outside:
        words = f"{outside} of {len(scene.fake)} forgeries lie outside this square"
        at = (8 * SCALE, 36 * SCALE)
        box = draw.textbbox(at, words, font=_font(12), anchor="lm")
        draw.rectangle(
            [v + d * 3 * SCALE for v, d in zip(box, (-1, -1, 1, 1), strict=True)], "white"
        )
        draw.text(at, words, fill=FAKE, font=_font(12), anchor="lm")
    draw.text((0, 11 * SCALE), title, fill=INK, font=_font(13), anchor="lm")
    if rounds is not None:
        draw.text((size, 11 * SCALE), f"round {rounds}", fill=INK, font=_font(13), anchor="rm")
    return picture


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

    def text(x: float, y: float, words: str) -> None:
        draw.text((x * SCALE, y * SCALE), words, fill=INK, font=_font(12), anchor="lm")

    for x, marker in ((2, _marker(REAL, None, 3.5)), (54, _marker(FAKE, 4, 3.9))):
        legend.paste(marker, (x * SCALE, 10 * SCALE - marker.height // 2), marker)
    text(14, 10, "real")
    text(67, 10, "forged")
    draw.line((114 * SCALE, 10 * SCALE, 132 * SCALE, 10 * SCALE), fill=INK, width=SCALE)
    draw.polygon([(v * SCALE) for v in (136, 10, 130, 7, 130, 13)], fill=INK)
    text(141, 10, "D's pull on a forgery")
    for offset in (-4, 0, 4):
        draw.line([v * SCALE for v in (276, 10 + offset, 292, 10 + offset)], fill=NET, width=SCALE)
        draw.line([v * SCALE for v in (284 + offset, 2, 284 + offset, 18)], fill=NET, width=SCALE)
    text(297, 10, "G's net of noise")
    bar = Image.new("P", (256, 1))
    bar.putpalette(BELIEF_PALETTE)
    bar.putdata(range(256))
    legend.paste(bar.convert("RGB").resize((150 * SCALE, 10 * SCALE)), (114 * SCALE, 26 * SCALE))
    text(2, 31, "D is sure: forged")
    text(271, 31, "D is sure: real")
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
    draw.text((left, top - 7 * SCALE), title, fill=INK, font=_font(12), anchor="ls")
    end = right
    for words, colour in reversed(note):
        draw.text((end, top - 7 * SCALE), words, fill=colour, font=_font(12), anchor="rs")
        end -= draw.textlength(words, font=_font(12)) + 12 * SCALE
    for value, label in ticks.items():
        draw.text((left - 6 * SCALE, height(value)), label, fill=GREY, font=_font(11), anchor="rm")
    if dashed is not None:
        for x in range(left, right, 8 * SCALE):
            draw.line(
                (x, height(dashed), x + 4 * SCALE, height(dashed)), fill="#888888", width=SCALE
            )
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
    draw.text(((WIDTH - 4) * SCALE, 428 * SCALE), words, fill=GREY, font=_font(11), anchor="rt")
    return picture


def draw_game(gan: toy.ToyGAN, distances=(), floor=None, **shown) -> Image.Image:
    """The whole picture: `draw_plane` (shown: its options) among `draw_charts`."""
    picture = draw_charts(gan, distances, floor)
    picture.paste(draw_plane(gan.scene(), rounds=gan.rounds, **shown), (0, 0))
    return picture


# ---------------------------------------------------------------- the playground

_TIP = "tooltip" if "tooltip" in ipywidgets.IntSlider.class_trait_names() else "description_tooltip"
OWN = "your own"
CELLS = 11  # the drawing board's side
SLOW_SECONDS = 0.9  # one picture of slow motion
STILL_TEXT = "A playground: run this cell in JupyterLab or Colab to play."


def _guarded(callback: Callable) -> Callable:
    """Show what goes wrong in a callback: Jupyter would hide it."""

    @functools.wraps(callback)
    def guarded(self: Playground, *arguments):
        try:
            return callback(self, *arguments)
        except Exception as error:
            self._broken = True
            reason = html.escape(f"{type(error).__name__}: {error}")
            self.error.value = (
                f"<b>The playground stopped.</b> {reason} <i>Start again</i> clears it."
            )

    return guarded


class Playground(ipywidgets.VBox):
    """Train a two-dimensional GAN and watch everything it does, on one plane.

    target: a name in `toy.TARGETS`. points: (N, 2) points of your own instead, within ±1.5.
    seed, settings: as for `toy.ToyGAN`. `self.gan` is the game that is being played.
    still_rounds: how far the still has played that stands here where no kernel runs.
    """

    _ipython_display_ = None  # ipywidgets 7 would show itself by this, without the still

    def __init__(
        self,
        target: str = "ring",
        *,
        points=None,
        seed: int = 0,
        still_rounds: int = 400,
        **settings,
    ):
        self._points = points
        self._still_rounds = still_rounds
        self._lock = threading.Lock()
        self._frames, self._times, self._said = 0, [], 0.0
        self._board, self._clearing = None, False
        self.gan = toy.ToyGAN(target if points is None else points, seed=seed, **settings)
        self._build(target if points is None else OWN, seed)
        super().__init__(
            [
                self.picture,
                self._row(
                    self.play, self.step_d, self.step_g, self.step_both, self.reset, self.slow
                ),
                self._row(*self._columns),
                self._row(self.arrow, self.heat, self.net),
                self.board_room,
                self.status,
                self.error,
            ],
            layout=ipywidgets.Layout(width=f"{WIDTH + 8}px", max_width="100%"),
        )
        self.add_class("gan-playground")
        self._restart()

    # -- what stands where

    def _build(self, target: str, seed: int) -> None:
        gan = self.gan
        self.picture = ipywidgets.Image(
            format="jpeg",
            width=str(WIDTH),
            height=str(HEIGHT),
            layout=ipywidgets.Layout(width=f"{WIDTH}px", max_width="100%", height="auto"),
        )
        self.play = ipywidgets.Play(interval=45, min=0, max=10_000, show_repeat=False)
        self.step_d = self._button("D's turn", "D learns, G stands still", "#B2E2D5")
        self.step_g = self._button("G's turn", "G learns, D stands still", "#F7CFB2")
        self.step_both = self._button("One round", "D's turns, then G's turns")
        self.reset = self._button("Start again", "Two new beginners")
        self.slow = ipywidgets.ToggleButton(
            description="Slow motion", layout=ipywidgets.Layout(width="110px")
        )
        setattr(self.slow, _TIP, "While playing: D's turn, its pull, G's turn, one after another")

        self.target = self._choice("Real data", [*toy.TARGETS, OWN], target, "What is forged")
        self.loss = self._choice("Loss", list(toy.LOSSES), gan.loss_name, "What G and D minimise")
        self.seed = ipywidgets.BoundedIntText(value=seed, min=0, max=9999, **self._named("Seed"))
        optimiser = type(gan.optimiser_d).__name__
        self.optimiser = self._choice("Optimiser", list(toy.OPTIMISERS), optimiser, "For both")
        self.lr_d = self._rate("D's rate", gan.optimiser_d)
        self.lr_g = self._rate("G's rate", gan.optimiser_g)
        self.steps_d = self._count("D's turns", gan.steps_d, "D's turns in a round")
        self.steps_g = self._count("G's turns", gan.steps_g, "G's turns in a round")
        self.pace = self._count("Pace", 3, "How many rounds lie between two pictures")
        self.heat = self._tick_box("D's belief (colours)")
        self.net = self._tick_box("G's net of noise")
        self.arrow = ipywidgets.FloatSlider(
            value=ARROW, min=0, max=1, step=0.05, **self._named("Arrows", "How long they are drawn")
        )
        self._columns = [
            ipywidgets.VBox(
                [ipywidgets.HTML(f"<b>{head}</b>"), *column],
                layout=ipywidgets.Layout(width="278px"),
            )
            for head, column in {
                "The game": [self.target, self.loss, self.seed],
                "Learning": [self.optimiser, self.lr_d, self.lr_g],
                "A round": [self.pace, self.steps_d, self.steps_g],
            }.items()
        ]
        self.board_room = ipywidgets.VBox([])
        self.status = ipywidgets.HTML()
        self.error = ipywidgets.HTML()

        self.play.observe(self._on_tick, "value")
        self.step_d.on_click(self._on_step_d)
        self.step_g.on_click(self._on_step_g)
        self.step_both.on_click(self._on_step_both)
        self.reset.on_click(self._on_reset)
        playing = "playing" if self.play.has_trait("playing") else "_playing"  # ipywidgets 8, 7
        self.play.observe(self._on_pause, playing)
        for control in (self.target, self.seed):
            control.observe(self._on_reset, "value")
        self.optimiser.observe(self._on_optimiser, "value")
        for name in ("loss", "lr_d", "lr_g", "steps_d", "steps_g"):
            getattr(self, name).observe(self._on_rule, "value")
        for control in (self.heat, self.net, self.arrow):
            control.observe(self._on_look, "value")
        for name in (
            *("picture", "play", "step_d", "step_g", "reset", "slow", "target", "loss", "seed"),
            *("optimiser", "lr_d", "lr_g", "steps_d", "steps_g", "pace", "heat", "net", "arrow"),
            *("status", "error"),
        ):
            css = {"picture": "playground-picture"}.get(name, name.replace("_", "-"))
            getattr(self, name).add_class(f"gan-{css}")
        self.step_both.add_class("gan-step")

    @staticmethod
    def _row(*children) -> ipywidgets.HBox:
        return ipywidgets.HBox(children, layout=ipywidgets.Layout(flex_flow="row wrap"))

    @staticmethod
    def _button(words: str, tip: str, colour: str | None = None) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description=words, tooltip=tip, layout=ipywidgets.Layout(width="100px")
        )
        button.style.button_color = colour
        return button

    @staticmethod
    def _named(words: str, tip: str | None = None) -> dict:
        return {
            "description": words,
            "style": {"description_width": "72px"},
            "layout": ipywidgets.Layout(width="272px"),
            _TIP: tip or words,
        }

    def _choice(self, words: str, options: list[str], value: str, tip: str):
        return ipywidgets.Dropdown(options=options, value=value, **self._named(words, tip))

    def _rate(self, words: str, optimiser):
        value = optimiser.param_groups[0]["lr"]
        rates = {float(f"{first}e-{place}") for place in range(1, 5) for first in (1, 2, 3, 6)}
        rates = sorted(rates | {1.0, value})
        return ipywidgets.SelectionSlider(
            options=[(f"{rate:g}", rate) for rate in rates],
            value=value,
            **self._named(words, "Learning rate: how far one turn goes"),
        )

    def _count(self, words: str, value: int, tip: str):
        return ipywidgets.IntSlider(value=value, min=1, max=20, **self._named(words, tip))

    @staticmethod
    def _tick_box(words: str) -> ipywidgets.Checkbox:
        return ipywidgets.Checkbox(
            value=True, description=words, indent=False, layout=ipywidgets.Layout(width="190px")
        )

    # -- the drawing board for real points of your own

    def _show_board(self) -> None:
        """Put the board under the controls while "your own" is chosen; made when first wanted."""
        if self.target.value != OWN:
            self.board_room.children = ()
            return
        if self._board is None:
            side = ipywidgets.Layout(width="22px", height="22px", margin="1px", padding="0")
            self._board = [ipywidgets.ToggleButton(layout=side) for _ in range(CELLS * CELLS)]
            if self._points is None:
                for row, column in ((2, 2), (2, 8), (7, 2), (8, 4), (8, 6), (7, 8)):
                    self._light(self._board[row * CELLS + column], True)
            for cell in self._board:
                cell.observe(self._on_board, "value")
                cell.add_class("gan-cell")
            self._clear = self._button("Clear", "Empty the board")
            self._clear.on_click(self._on_clear)
            rows = [
                ipywidgets.HBox(self._board[row * CELLS : (row + 1) * CELLS])
                for row in range(CELLS)
            ]
            words = "Draw the real points: click the cells. You may do so while it plays."
            self._board_box = ipywidgets.HBox(
                [
                    ipywidgets.VBox(rows),
                    ipywidgets.VBox(
                        [ipywidgets.HTML(words), self._clear],
                        layout=ipywidgets.Layout(margin="0 0 0 16px"),
                    ),
                ]
            )
            self._board_box.add_class("gan-board")
        self.board_room.children = (self._board_box,)

    @staticmethod
    def _light(cell: ipywidgets.ToggleButton, on: bool) -> None:
        cell.value, cell.button_style = on, "info" if on else ""

    def _drawn_points(self) -> toy.Target:
        lit = [i for i, cell in enumerate(self._board) if cell.value]
        if not lit:
            return toy.own_points([(0, 0)] if self._points is None else self._points)
        step = 2.4 / (CELLS - 1)
        return toy.own_points(
            [(i % CELLS * step - 1.2, 1.2 - i // CELLS * step) for i in lit], spread=step / 4
        )

    # -- the game

    def _restart(self) -> None:
        self._show_board()
        target = self._drawn_points() if self.target.value == OWN else self.target.value
        self.gan = toy.ToyGAN(
            target, optimiser=self.optimiser.value, seed=self.seed.value, **self._rules()
        )
        self._distances: list[tuple[int, float]] = []
        self._moment = {"title": "The plane"}
        self._phase, self._broken, self.error.value = 0, False, ""
        self._retarget(self.gan.target)

    def _rules(self) -> dict:
        """The settings that can change in the middle of a game."""
        return {
            name: getattr(self, name).value
            for name in ("loss", "lr_d", "lr_g", "steps_d", "steps_g")
        }

    def _retarget(self, target: toy.Target) -> None:
        self.gan.set_target(target)
        self._floor = toy.floor(target, 500)
        self._show()

    def _advance(self) -> None:
        """What happens between two pictures while it plays."""
        gan, turns = self.gan, self.pace.value
        if not self.slow.value:
            gan.step(turns)
            self._phase, self._moment = 0, {"title": "The plane"}
            return
        if self._phase == 0:
            for _ in range(turns * gan.steps_d):
                gan.step_discriminator()
            self._moment = {"title": "1. D has redrawn its map", "arrow": 0}
        elif self._phase == 1:
            self._moment = {"title": "2. Where D's map pulls each forgery"}
        else:
            before = gan.scene().fake
            for _ in range(turns * gan.steps_g):
                gan.step_generator()
            gan.record()
            self._moment = {"title": "3. G has moved", "arrow": 0, "before": before}
        self._phase = (self._phase + 1) % 3

    def _show(self, sharp: bool = True) -> None:
        """Draw this moment and say how it stands.

        Not `sharp` is quicker, and meant for motion: a quarter of the pixels, and charts up to
        0.4 seconds old.
        """
        now = time.monotonic()
        stale = now - self._said > 0.4
        if sharp or stale:
            self._said = now
            self._measures = toy.measure(self.gan, 500)
            if not self._distances or self._distances[-1][0] != self.gan.rounds:
                self._distances.append((self.gan.rounds, self._measures.distance))
            self._charts = draw_charts(self.gan, self._distances, self._floor)
            self._small_charts = self._charts.reduce(SCALE)
        shown = {"heat": self.heat.value, "net": self.net.value, **self._moment}
        shown.setdefault("arrow", self.arrow.value)
        plane = draw_plane(self.gan.scene(), rounds=self.gan.rounds, **shown)
        picture = (self._charts if sharp else self._small_charts).copy()
        picture.paste(plane if sharp else plane.reduce(SCALE), (0, 0))
        encoded = io.BytesIO()
        # In motion nobody sees the colours' lost pixels, and the page decodes it sooner.
        picture.save(
            encoded,
            "JPEG",
            quality=90 if sharp else 80,
            subsampling="4:4:4" if sharp else "4:2:0",
        )
        self.picture.value = encoded.getvalue()
        self._frames += 1
        self._times = [*(t for t in self._times if now - t < 1.5), now]
        if sharp or stale:
            self._say()

    def _say(self) -> None:
        speed = (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-3)
        speed = f', <span class="gan-fps">{speed:.0f}</span> pictures/s' if speed > 1.5 else ""
        self.status.value = (
            f'Round <span class="gan-round">{self.gan.rounds}</span>{speed} · '
            f'<span class="gan-frames" hidden>{self._frames}</span>'
            f"{self._measures.coverage:.0%} of the real points have a forgery near by, "
            f"{self._measures.quality:.0%} of the forgeries are near a real point"
        )

    # -- what the student does. A tick that comes too early is skipped; a click waits for its turn.

    @_guarded
    def _on_tick(self, change) -> None:
        early = self.slow.value and time.monotonic() - self._times[-1] < SLOW_SECONDS
        stopped = change["new"] == 0  # the player's stop button
        if early or stopped or self._broken or not self._lock.acquire(blocking=False):
            return
        try:
            self._advance()
            self._show(sharp=self.slow.value)
        finally:
            self._lock.release()

    @_guarded
    def _on_pause(self, change) -> None:
        if not change["new"] and not self._broken:
            with self._lock:
                self._show()

    @_guarded
    def _on_step_d(self, _) -> None:
        with self._lock:
            for _ in range(self.pace.value * self.gan.steps_d):
                self.gan.step_discriminator()
            self.gan.record()
            self._moment = {"title": "After D's turn"}
            self._show()

    @_guarded
    def _on_step_g(self, _) -> None:
        with self._lock:
            before = self.gan.scene().fake
            for _ in range(self.pace.value * self.gan.steps_g):
                self.gan.step_generator()
            self.gan.record()
            self._moment = {"title": "After G's turn", "before": before}
            self._show()

    @_guarded
    def _on_step_both(self, _) -> None:
        with self._lock:
            before = self.gan.scene().fake
            self.gan.step(1)
            self._moment = {"title": "After one round", "before": before}
            self._show()

    @_guarded
    def _on_reset(self, _) -> None:
        with self._lock:
            self._restart()

    @_guarded
    def _on_rule(self, _) -> None:
        with self._lock:
            self.gan.configure(**self._rules())
            self._show()

    @_guarded
    def _on_optimiser(self, change) -> None:
        with self._lock:
            self.gan.configure(optimiser=change["new"])
        self.lr_d.value, self.lr_g.value = toy.DEFAULT_RATES[change["new"]]

    @_guarded
    def _on_look(self, _) -> None:
        with self._lock:
            self._show()

    @_guarded
    def _on_board(self, change) -> None:
        self._light(change["owner"], change["new"])
        if not self._clearing:
            with self._lock:
                self._retarget(self._drawn_points())

    @_guarded
    def _on_clear(self, _) -> None:
        self._clearing = True
        for cell in self._board:
            cell.value = False
        self._clearing = False
        with self._lock:
            self._retarget(self._drawn_points())

    # -- what stands here where no kernel runs

    def still(self) -> bytes:
        """A PNG of this game, from its start, after `still_rounds` rounds."""
        gan = toy.ToyGAN(
            self.gan.target, optimiser=self.optimiser.value, seed=self.seed.value, **self._rules()
        )
        distances = [(0, toy.measure(gan, 500).distance)]
        for _ in range(50):
            gan.step(max(self._still_rounds // 50, 1))
            distances.append((gan.rounds, toy.measure(gan, 500).distance))
        encoded = io.BytesIO()
        draw_game(gan, distances, self._floor).reduce(SCALE).save(encoded, "PNG", optimize=True)
        return encoded.getvalue()

    def _repr_mimebundle_(self, **_) -> dict:
        return {
            "text/plain": STILL_TEXT,
            "image/png": base64.b64encode(self.still()).decode("ascii"),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }


# ---------------------------------------------------------------- a slider through a training

FACE = 64  # side of a face in the film, in shown pixels


class Scrubber(ipywidgets.VBox):
    """A film with a slider: the same faces at every moment of a training.

    moments: uint8 images (n, S, S, 3), one array a moment. labels: what to write above each.
    columns: faces in a row. Where no kernel runs, a strip of `rows` moments stands in its place.
    """

    _ipython_display_ = None  # ipywidgets 7 would show itself by this, without the strip

    def __init__(
        self,
        moments: Sequence[np.ndarray],
        labels: Sequence[str],
        *,
        columns: int = 8,
        rows: int = 6,
    ):
        if len(moments) != len(labels) or not len(moments):
            raise ValueError(f"{len(labels)} labels for {len(moments)} moments; give one each")
        self._moments, self._labels = list(moments), list(labels)
        self._columns, self._rows = columns, min(rows, len(moments))
        self._frames = [self._encoded(_tiled(moment, columns)) for moment in moments]
        last = len(moments) - 1
        self.picture = ipywidgets.Image(
            format="png", layout=ipywidgets.Layout(width=f"{columns * 84}px", max_width="100%")
        )
        self.label = ipywidgets.HTML()
        self.slider = ipywidgets.IntSlider(
            value=last, min=0, max=last, readout=False, description="moment",
            layout=ipywidgets.Layout(width="420px"),
        )  # fmt: skip
        self.play = ipywidgets.Play(value=last, min=0, max=last, interval=250)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(lambda change: self._show(change["new"]), "value")
        super().__init__([self.label, self.picture, ipywidgets.HBox([self.play, self.slider])])
        for name in ("picture", "label", "slider", "play"):
            getattr(self, name).add_class(f"film-{name}")
        self.add_class("film")
        self._show(last)

    def _show(self, moment: int) -> None:
        self.picture.value = self._frames[moment]
        self.label.value = f"<b>{html.escape(self._labels[moment])}</b>"

    @staticmethod
    def _encoded(picture: np.ndarray | Image.Image) -> bytes:
        encoded = io.BytesIO()
        Image.fromarray(np.asarray(picture)).save(encoded, "PNG")
        return encoded.getvalue()

    def strip(self) -> Image.Image:
        """Some moments under each other, the first `columns` faces of each, labelled."""
        chosen = np.linspace(0, len(self._moments) - 1, self._rows).round().astype(int)
        margin, size = 150, FACE * SCALE
        picture = Image.new(
            "RGB", (margin * SCALE + self._columns * size, self._rows * (size + 4)), "white"
        )
        draw = ImageDraw.Draw(picture)
        for row, moment in enumerate(chosen):
            top = row * (size + 4)
            faces = Image.fromarray(_tiled(self._moments[moment][: self._columns], self._columns))
            faces = faces.resize((self._columns * size, size), Image.Resampling.NEAREST)
            picture.paste(faces, (margin * SCALE, top))
            words = self._labels[moment]
            draw.text((0, top + size / 2), words, fill=INK, font=_font(13), anchor="lm")
        return picture

    def _still(self) -> bytes:
        """The strip as a PNG of 256 colours: notebooks should stay small."""
        encoded = io.BytesIO()
        self.strip().quantize(256, Image.Quantize.MEDIANCUT).save(encoded, "PNG", optimize=True)
        return encoded.getvalue()

    def _repr_mimebundle_(self, **_) -> dict:
        return {
            "text/plain": "A film of the training: run this cell in JupyterLab or Colab.",
            "image/png": base64.b64encode(self._still()).decode("ascii"),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }


def film(snapshots: Sequence, batch_size: int, *, columns: int = 8, rows: int = 6) -> Scrubber:
    """A `Scrubber` through the snapshots of a `training.History` or of `pretrained.film`."""
    return Scrubber(
        [snapshot.pictures for snapshot in snapshots],
        [f"{snapshot.step * batch_size:,} images" for snapshot in snapshots],
        columns=columns,
        rows=rows,
    )


def _tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """uint8 images (n, S, S, 3) in rows of `columns`, the last row filled up with white."""
    missing = -len(images) % columns
    white = np.full((missing, *images.shape[1:]), 255, np.uint8)
    images = np.concatenate([images, white])
    side = images.shape[1]
    grid = images.reshape(-1, columns, side, side, 3).swapaxes(1, 2)
    return grid.reshape(-1, columns * side, 3)
