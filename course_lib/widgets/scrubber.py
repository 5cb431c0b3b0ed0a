"""A slider through pictures: a training's, a walk's, or those of a setting."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw

from course_lib.errors import CourseError
from course_lib.pixels import animated_png, image_grid, in_few_colours
from course_lib.widgets import look
from course_lib.widgets.canvas import SCALE, write
from course_lib.widgets.still import WithStill, encode

FACE = 64  # side of a face in the film, in shown pixels
MARGIN = 150  # left of the strip, for the labels


class Scrubber(WithStill):
    """Pictures with a slider: the same faces at every moment of a training, or of something else.

    moments: uint8 images (n, S, S, 3), one array a moment, n at least 1. labels: what to write
    above each. columns: faces in a row, or fewer if a moment has fewer. Where no kernel runs, a
    strip of `rows` moments stands in its place; or, if `moving`, one row of faces in which these
    moments follow each other, the last one first. name: of what the slider moves. start: the
    moment that is shown first; the last, if None. says: a line below the picture.
    """

    words = "A film of the training: run this cell in JupyterLab or Colab."

    def __init__(
        self,
        moments: Sequence[np.ndarray],
        labels: Sequence[str],
        *,
        columns: int = 8,
        rows: int = 6,
        name: str = "moment",
        start: int | None = None,
        says: str = "",
        moving: bool = False,
    ):
        if len(moments) != len(labels) or not len(moments):
            raise CourseError(f"{len(labels)} labels for {len(moments)} moments; give one each")
        self._moments, self._labels = list(moments), list(labels)
        self._columns = min(columns, *map(len, moments))
        self._rows, self._moving = min(rows, len(moments)), moving
        self._frames = [
            encode(Image.fromarray(image_grid(moment, self._columns, gap=0))) for moment in moments
        ]
        if name != "moment":
            self.words = "Pictures with a slider: run this cell in JupyterLab or Colab."
        last = len(moments) - 1
        first = last if start is None else start
        self.picture = ipywidgets.Image(
            format="png",
            layout=ipywidgets.Layout(width=f"{self._columns * 84}px", max_width=look.FITS),
        )
        self.label = ipywidgets.HTML()
        self.slider = ipywidgets.IntSlider(
            value=first, min=0, max=last, readout=False, description=name,
            layout=ipywidgets.Layout(width="420px", max_width="calc(100% - 24px)"),
        )  # fmt: skip
        self.play = ipywidgets.Play(value=first, min=0, max=last, interval=250)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(lambda change: self._show(change["new"]), "value")
        below = [ipywidgets.HTML(html.escape(says))] if says else []
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        controls = ipywidgets.HBox([self.play, self.slider], layout=wrap)
        super().__init__([self.label, self.picture, *below, controls])
        for name in ("picture", "label", "slider", "play"):
            getattr(self, name).add_class(f"film-{name}")
        self.add_class("film")
        self._show(first)

    def _show(self, moment: int) -> None:
        self.picture.value = self._frames[moment]
        self.label.value = f"<b>{html.escape(self._labels[moment])}</b>"

    def strip(self) -> Image.Image:
        """Some moments under each other, the first `columns` faces of each, labelled."""
        margin, width, height = (SCALE * v for v in (MARGIN, self._columns * FACE, FACE))
        step = height + 4
        picture = Image.new("RGB", (margin + width, self._rows * step), "white")
        draw = ImageDraw.Draw(picture)
        for row, moment in enumerate(self._chosen()):
            faces = image_grid(self._moments[moment][: self._columns], self._columns, gap=0)
            faces = Image.fromarray(faces).resize((width, height), Image.Resampling.NEAREST)
            picture.paste(faces, (margin, row * step))
            write(draw, (0, row * step + height / 2), self._labels[moment], size=13)
        return picture

    def _chosen(self) -> np.ndarray:
        return np.linspace(0, len(self._moments) - 1, self._rows).round().astype(int)

    def still(self) -> bytes:
        """The strip as a PNG of 256 colours: notebooks should stay small. Or the animation."""
        if self._moving:
            chosen = self._chosen()
            frames = [self._frame(moment) for moment in (chosen[-1], *chosen)]
            return animated_png(frames, seconds=0.6, first=2.0)
        return encode(in_few_colours(self.strip()), optimize=True)

    def _frame(self, moment: int) -> np.ndarray:
        """The first row of faces of one moment, twice as large, under its label."""
        faces = self._moments[moment][: self._columns].repeat(2, axis=1).repeat(2, axis=2)
        row = Image.fromarray(image_grid(faces, self._columns, gap=4))
        frame = Image.new("RGB", (row.width, row.height + 28), "white")
        frame.paste(row, (0, 28))
        write(ImageDraw.Draw(frame), (4, 14), self._labels[moment], size=9)
        return np.asarray(frame)


def film(
    snapshots: Sequence,
    batch_size: int,
    *,
    columns: int = 8,
    rows: int = 6,
    says: str = "",
    moving: bool = False,
) -> Scrubber:
    """A `Scrubber` through the snapshots of a `training.History` or of `pretrained.film`.

    A moment without pictures is left out: one that was only measured, or whose PNG was lost before
    the training went on. Raises CourseError if no moment has any.
    """
    shown = [snapshot for snapshot in snapshots if len(snapshot.pictures)]
    if not shown:
        raise CourseError(
            "no pictures were kept of this training: give `fit` a function `pictures`, or put back "
            "the PNGs that were in its folder's pictures/"
        )
    return Scrubber(
        [snapshot.pictures for snapshot in shown],
        [f"{snapshot.step * batch_size:,} images" for snapshot in shown],
        columns=columns,
        rows=rows,
        says=says,
        moving=moving,
    )
