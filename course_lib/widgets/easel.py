"""A prompt, sixteen faces, and what the judge says of each."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets
from PIL import Image, ImageDraw
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.pixels import in_few_colours, to_uint8
from course_lib.widgets import look
from course_lib.widgets.canvas import SCALE, write
from course_lib.widgets.still import WithStill, encode

if TYPE_CHECKING:
    from course_lib import text

FACE = 96  # side of a face, in shown pixels
GREEN, RED = "#009E73", "#D55E00"


class Easel(WithStill):
    """A field for a prompt, in either language, and what a painter makes of it.

    paint: (prompts, a list of B; seed) → images (B, 3, 64, 64) in [-1, 1]. encoder: says which
    words it knows. Under each face stands what was asked for, and whether the judge sees it. Where
    no kernel runs, the faces of the first prompt stand in its place.
    """

    words = "An easel with a field for prompts: run this cell in JupyterLab or Colab."

    def __init__(
        self,
        paint: Callable[[list[str], int], Tensor],
        encoder: text.TextEncoder,
        prompt: str = "",
        *,
        seed: int = 0,
        faces: int = 16,
        columns: int = 8,
    ):
        if faces < 1:
            raise CourseError(f"faces is {faces}; choose 1 or more")
        self._paint, self._encoder = paint, encoder
        self._faces, self._columns = faces, min(columns, faces)
        wide = ipywidgets.Layout(width="460px", max_width=look.FITS)
        self.prompt = ipywidgets.Text(
            value=prompt, description="prompt", continuous_update=False, layout=wide
        )
        self.seed = ipywidgets.BoundedIntText(
            value=seed,
            min=0,
            max=10**6,
            description="seed",
            layout=ipywidgets.Layout(width="170px"),
        )
        self.button = ipywidgets.Button(description="paint", button_style="primary")
        self.understood, self.pictures = ipywidgets.HTML(), ipywidgets.HTML()
        self.button.on_click(lambda _: self.show())
        for field in (self.prompt, self.seed):
            field.observe(lambda _: self.show(), "value")
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        line = ipywidgets.HBox([self.prompt, self.seed, self.button], layout=wrap)
        super().__init__([line, self.understood, self.pictures])
        for name in ("prompt", "seed", "button", "understood", "pictures"):
            getattr(self, name).add_class(f"easel-{name}")
        self.add_class("easel")
        self.show()

    def show(self) -> None:
        """Paint the prompt; what goes wrong is told in the widget, since callbacks are silent."""
        from course_lib import text  # here: transformers takes long to import

        prompt = self.prompt.value
        try:
            with text.told_already():
                images = self._paint([prompt] * self._faces, self.seed.value)
            self._images, self._verdicts = to_uint8(images), text.verdicts(images, prompt)
            lines = text.remarks(self._encoder.understand(prompt))
            self.understood.value = "<br>".join(map(html.escape, lines))
            self.pictures.value = self._grid()
        except Exception as error:
            self.understood.value = (
                f"<b style='color:var(--course-no)'>{html.escape(str(error))}</b>"
            )
            self.pictures.value = ""

    def _grid(self) -> str:
        cells = []
        for i, (image, verdict) in enumerate(zip(self._images, self._verdicts, strict=True), 1):
            data = base64.b64encode(encode(Image.fromarray(image))).decode("ascii")
            lines = "<br>".join(_line(words, so) for words, so in verdict.items())
            shown = f"width:{FACE}px;height:{FACE}px;image-rendering:pixelated"
            cells.append(
                f"<div style='width:{FACE}px;margin:2px;font-size:11px;line-height:1.25'>"
                f"<img style='{shown}' alt='face {i}' src='data:image/png;base64,{data}'>"
                f"<br>{lines}</div>"
            )
        widest = f"max-width:{self._columns * (FACE + 4)}px"
        return f"<div class='course-grid' style='{widest}'>{''.join(cells)}</div>"

    def still(self) -> bytes:
        """The faces, each with a line under it: green where all that was asked for is there."""
        side, foot = SCALE * FACE, SCALE * 20
        rows = -(-len(self._images) // self._columns)
        picture = Image.new("RGB", (self._columns * side, rows * (side + foot)), "white")
        draw = ImageDraw.Draw(picture)
        for i, (image, verdict) in enumerate(zip(self._images, self._verdicts, strict=True)):
            left, top = i % self._columns * side, i // self._columns * (side + foot)
            face = Image.fromarray(image).resize((side - 4, side - 4), Image.Resampling.NEAREST)
            picture.paste(face, (left + 2, top))
            if verdict:
                right = sum(verdict.values())
                colour = GREEN if right == len(verdict) else RED
                draw.rectangle((left + 2, top + side - 2, left + side - 3, top + side + 3), colour)
                where = (left + 6, top + side + foot / 2 + 3)
                write(draw, where, f"{right} of {len(verdict)}", size=11)
        return encode(in_few_colours(picture), optimize=True)


def _line(words: str, so: bool) -> str:
    colour, sign = ("yes", "✓") if so else ("no", "✗")
    return f"<span style='color:var(--course-{colour})'>{sign} {html.escape(words)}</span>"
