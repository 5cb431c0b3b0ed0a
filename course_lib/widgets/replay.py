"""A game played before, as a picture that moves wherever a notebook is read."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from IPython.display import Image as Shown
from PIL import Image, ImageColor

from course_lib import toy
from course_lib.errors import CourseError
from course_lib.pixels import animated_png
from course_lib.plots import FAKE, INK, REAL
from course_lib.widgets.canvas import BELIEF_PALETTE, draw_plane

SIDE = 320  # of a frame, in pixels


def replay(scenes: Sequence[toy.Scene], rounds: Sequence[int], seconds: float = 0.25) -> Shown:
    """The moments of a game, one after the other, over and over: an animated PNG.

    scenes: what `ToyGAN.scene` saw. rounds: the round of each. seconds: how long each is shown. The
    last one comes first, and stays longer, so that it stands where nothing can move.
    """
    if not len(scenes) == len(rounds) > 0:
        raise CourseError(f"{len(rounds)} rounds for {len(scenes)} scenes; give one each")
    frames = [_frame(scene, at) for scene, at in zip(scenes, rounds, strict=True)]
    return Shown(animated_png([frames[-1], *frames], seconds, first=2.0), format="png")


def _frame(scene: toy.Scene, at: int) -> np.ndarray:
    """One moment in few colours: thirty such frames stay under 400 KB. No net, no arrows."""
    picture = draw_plane(scene, title="blue: real · orange: forged", rounds=at, net=False, arrow=0)
    height = round(SIDE * picture.height / picture.width)
    picture = picture.resize((SIDE, height), Image.Resampling.LANCZOS)
    picture = picture.quantize(palette=_few_colours(), dither=Image.Dither.NONE)
    return np.asarray(picture.convert("RGB"))


@functools.cache
def _few_colours() -> Image.Image:
    """Seventeen steps of D's belief; those of points and words, whole and as their softer rim."""
    belief = np.array(BELIEF_PALETTE).reshape(-1, 3)[np.linspace(0, 255, 17).round().astype(int)]
    drawn = np.array([ImageColor.getrgb(colour) for colour in (REAL, FAKE, INK)])
    rims = [255 - (255 - drawn) * share for share in (1, 2 / 3, 1 / 3)]
    colours = np.concatenate([belief, *rims]).round().astype(int)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.ravel().tolist())
    return palette
