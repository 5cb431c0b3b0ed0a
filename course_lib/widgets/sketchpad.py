"""A doodle of coloured cells, and the faces that a painter makes of it: image-to-image."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.pixels import in_few_colours, to_float, to_uint8
from course_lib.widgets import doodles, look
from course_lib.widgets.still import WithStill, encode
from course_lib.widgets.words import telling

Paint = Callable[[Tensor, str, float, list[int]], Tensor]

LEAST = 0.3  # strength below which hardly anything changes
MOST_UNDONE = 200
BRUSHES = {"1 cell": 1, "2 × 2": 2, "4 × 4": 4, "fill": 0}


class Sketchpad(WithStill):
    """Cells to colour with a brush; on “paint” the doodle and a prompt become faces.

    paint: (image (1, 3, 64, 64) in [-1, 1]; prompt; strength, from 0.3, near the doodle, to 1,
    which forgets it; B seeds) → images (B, 3, S, S) in [-1, 1]. doodle: 16 lines of 16 letters of
    `doodles.PALETTE`. faces: how many are painted, of the seeds `seed`, `seed` + 1, … It paints
    once when it is made, so that something stands in its place where no kernel runs. Raises
    CourseError for what it cannot use.
    """

    words = "A sketchpad whose doodle becomes faces: run this cell in JupyterLab or Colab."

    def __init__(
        self,
        paint: Paint,
        prompt: str = "",
        *,
        strength: float = 0.7,
        seed: int = 0,
        faces: int = 4,
        doodle: str = doodles.DOODLE,
    ):
        _refuse(paint, prompt, strength, seed, faces)
        self._paint, self._faces = paint, faces
        self._doodle, self._past = doodles.parse(doodle), deque(maxlen=MOST_UNDONE)
        self._lock = threading.Lock()
        self.status, self.pictures = ipywidgets.HTML(), ipywidgets.HTML()
        cells = self._make_cells()
        cells.layout.order = "-1"
        left = ipywidgets.VBox([self._make_palette(), self._make_tools(), cells])
        right = [self._make_request(prompt, strength, seed), self.status, self.pictures]
        right = ipywidgets.VBox(
            right, layout=ipywidgets.Layout(margin="0 0 0 16px", max_width=look.FITS, order="1")
        )
        # The 256 cells stand first, but come last by the Tab key: all else is before them.
        row = ipywidgets.HBox([right, left], layout=ipywidgets.Layout(flex_flow="row wrap"))
        super().__init__([row])
        for name in ("cells", "palette"):
            for one in getattr(self, name):
                one.add_class(f"sketchpad-{name}")
        for cell in self.cells:
            cell.add_class("course-square")
        for name in ("prompt", "strength", "seed", "button", "status", "pictures", "brush"):
            getattr(self, name).add_class(f"sketchpad-{name}")
        self.add_class("sketchpad")
        self.show()

    def image(self) -> Tensor:
        """The doodle as an image (1, 3, 64, 64) in [-1, 1]: each cell is 4 × 4 pixels."""
        return to_float(doodles.enlarged(self._doodle, doodles.SIZE)[None])

    def show(self) -> None:
        """Paint the doodle as it is now."""
        strength, first = round(self.strength.value, 2), self.seed.value
        seeds, doodle = list(range(first, first + self._faces)), self._doodle
        images = self._paint(self.image(), self.prompt.value, strength, seeds)
        faces = to_uint8(images)
        if len(faces) != len(seeds):
            raise CourseError(
                f"paint gave {len(faces)} images for {len(seeds)} seeds; return one for each"
            )
        self._painted = doodles.Painting(doodle, self.prompt.value, strength, seeds, faces)
        self.pictures.value = doodles.grid(self._painted)

    def still(self) -> bytes:
        """What was painted last: the doodle, an arrow, the faces, and what was asked for."""
        picture = doodles.draw_painting(self._painted)
        return encode(in_few_colours(picture), optimize=True)

    # Its parts

    def _make_cells(self) -> ipywidgets.Widget:
        # One style for all cells of a colour: to recolour a cell, its style is exchanged.
        self._styles = [
            ipywidgets.ButtonStyle(button_color=colour) for _, colour in doodles.PALETTE.values()
        ]
        side = ipywidgets.Layout(width="20px", height="20px", margin="0", padding="0")
        self.cells = []
        for i, letter in enumerate(self._doodle.ravel().tolist()):
            cell = ipywidgets.Button(
                layout=side, style=self._styles[letter], tooltip=doodles.place(i, letter)
            )
            cell.on_click(telling(self.status, partial(self._on_cell, *divmod(i, doodles.CELLS))))
            self.cells.append(cell)
        rows = [
            ipywidgets.HBox(self.cells[i : i + doodles.CELLS])
            for i in range(0, doodles.CELLS**2, doodles.CELLS)
        ]
        return ipywidgets.VBox(rows)

    def _make_palette(self) -> ipywidgets.Widget:
        self.palette = []
        for i, (name, _) in enumerate(doodles.PALETTE.values()):
            side = ipywidgets.Layout(width="36px", height="28px", margin="2px", padding="0")
            pot = ipywidgets.Button(layout=side, style=self._styles[i], tooltip=name)
            pot.on_click(telling(self.status, partial(self._on_pot, i)))
            self.palette.append(pot)
        self.chosen = ipywidgets.HTML()
        self._on_pot(doodles.LETTERS.index("b"))
        half = len(self.palette) // 2
        rows = [ipywidgets.HBox(self.palette[:half]), ipywidgets.HBox(self.palette[half:])]
        return ipywidgets.VBox([self.chosen, *rows])

    def _make_tools(self) -> ipywidgets.Widget:
        self.brush = ipywidgets.ToggleButtons(
            options=list(BRUSHES.items()),
            tooltips=[
                *(f"Colour {side} × {side} cells at a click" for side in (1, 2, 4)),
                "Colour all cells of one colour that touch each other",
            ],
            style=ipywidgets.ToggleButtonsStyle(button_width="58px"),
        )
        narrow = ipywidgets.Layout(width="76px")
        self.undo = ipywidgets.Button(
            description="undo", tooltip="Take back the last change", layout=narrow
        )
        self.clear = ipywidgets.Button(
            description="clear", tooltip="Colour all cells as the sky", layout=narrow
        )
        self.undo.on_click(telling(self.status, self._on_undo))
        self.clear.on_click(telling(self.status, self._on_clear))
        return ipywidgets.VBox([self.brush, ipywidgets.HBox([self.undo, self.clear])])

    def _make_request(self, prompt: str, strength: float, seed: int) -> ipywidgets.Widget:
        wide = ipywidgets.Layout(width="420px", max_width=look.FITS)
        self.prompt = ipywidgets.Text(value=prompt, description="prompt", layout=wide)
        self.strength = ipywidgets.FloatSlider(
            value=strength, min=LEAST, max=1, step=0.05, description="strength", layout=wide
        )
        self.seed = ipywidgets.BoundedIntText(
            value=seed, min=0, max=10**6, description="seed",
            layout=ipywidgets.Layout(width="170px"),
        )  # fmt: skip
        self.button = ipywidgets.Button(
            description="paint", button_style="primary", tooltip="Make faces of the doodle"
        )
        self.button.on_click(telling(self.status, self._on_paint))
        says = "Low strength keeps to the doodle, 1 forgets it."
        return ipywidgets.VBox(
            [
                self.prompt,
                self.strength,
                ipywidgets.HTML(look.soft(says)),
                ipywidgets.HBox(
                    [self.seed, self.button], layout=ipywidgets.Layout(flex_flow="row wrap")
                ),
            ]
        )

    # What is clicked

    def _on_cell(self, row: int, column: int, _) -> None:
        changed = self._doodle.copy()
        if side := self.brush.value:
            top, left = (max(0, at - (side - 1) // 2) for at in (row, column))
            bottom, right = (at + side // 2 + 1 for at in (row, column))
            changed[top:bottom, left:right] = self._colour
        else:
            canvas = Image.fromarray(changed).copy()  # what shares an array cannot be written
            ImageDraw.floodfill(canvas, (column, row), self._colour)
            changed = np.array(canvas)
        self._change(changed)

    def _on_pot(self, colour: int, _=None) -> None:
        self._colour = colour
        for i, pot in enumerate(self.palette):
            pot.layout.border = (
                "3px solid var(--course-ink)" if i == colour else "1px solid #BBBBBB"
            )
        self.chosen.value = f"Colour: <b>{doodles.PALETTE[doodles.LETTERS[colour]][0]}</b>"

    def _on_undo(self, _) -> None:
        if not self._past:
            raise CourseError("Nothing is left to be undone.")
        self._become(self._past.pop())

    def _on_clear(self, _) -> None:
        self._change(np.full_like(self._doodle, doodles.LETTERS.index(".")))

    def _on_paint(self, _) -> None:
        if not self._lock.acquire(blocking=False):
            return  # it is painting: JupyterLab may run callbacks side by side
        try:
            self.button.description = "painting …"  # not disabled: it would lose the focus
            self.show()
        finally:
            self.button.description = "paint"
            self._lock.release()

    def _change(self, doodle: np.ndarray) -> None:
        if not np.array_equal(doodle, self._doodle):
            self._past.append(self._doodle)
            self._become(doodle)

    def _become(self, doodle: np.ndarray) -> None:
        """Show another doodle; the page is told only of the cells that differ."""
        differ = np.flatnonzero(doodle != self._doodle).tolist()
        self._doodle = doodle
        for i in differ:
            colour = int(doodle.flat[i])
            with self.cells[i].hold_sync():
                self.cells[i].style = self._styles[colour]
                self.cells[i].tooltip = doodles.place(i, colour)


def _refuse(paint: Paint, prompt: str, strength: float, seed: int, faces: int) -> None:
    if not callable(paint):
        raise CourseError("paint is no function; give one of (image, prompt, strength, seeds)")
    if not isinstance(prompt, str):
        raise CourseError(f"the prompt is {prompt!r}; give one text, such as “blue hair”")
    if not LEAST <= strength <= 1:
        raise CourseError(f"strength is {strength}; choose from {LEAST} to 1, such as 0.7")
    if not isinstance(seed, int) or not 0 <= seed <= 10**6:
        raise CourseError(f"seed is {seed}; choose a whole number from 0 to 1,000,000")
    if not isinstance(faces, int) or faces < 1:
        raise CourseError(f"faces is {faces}; choose 1 or more, such as 4")
