"""Lesson 5's playground: a GAN and a diffusion model learn the same points, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets
import torch
from PIL import Image

from course_lib import toy
from course_lib.pixels import in_few_colours
from course_lib.widgets import canvas, look
from course_lib.widgets.board import STEP, Board
from course_lib.widgets.guard import guarded, in_turn
from course_lib.widgets.playground import LIT, OWN
from course_lib.widgets.still import WithStill, encode

if TYPE_CHECKING:
    from course_lib.latent_diffusion import PlaneFlow

GAP = 16  # shown pixels between the two planes


class Duel(WithStill):
    """Lesson 1's game on the left, a walk from noise to data on the right, of the same points.

    diffusion: `latent_diffusion.PlaneFlow`. target: a name in `toy.TARGETS`. Both get as many
    rounds, of the same number of points each.
    still_rounds: how far the still has come that stands here where no kernel runs.
    """

    words = "Two playgrounds: run this cell in JupyterLab or Colab to play."

    def __init__(
        self,
        diffusion: Callable[..., PlaneFlow],
        target: str = "three blobs",
        *,
        seed: int = 0,
        still_rounds: int = 1000,
    ):
        self._diffusion, self._still_rounds = diffusion, still_rounds
        self._lock, self._broken = threading.Lock(), False
        self._board: Board | None = None
        self.play = ipywidgets.Play(interval=60, min=0, max=10_000, show_repeat=False)
        narrow = ipywidgets.Layout(width="110px")
        self.reset = ipywidgets.Button(description="Start again", layout=narrow)
        self.target = ipywidgets.Dropdown(
            options=[*toy.TARGETS, OWN], value=target, description="Real data"
        )
        self.seed = ipywidgets.BoundedIntText(
            value=seed, min=0, max=9999, description="Seed", layout=ipywidgets.Layout(width="170px")
        )
        self.time = ipywidgets.FloatSlider(
            value=0, min=0, max=1, step=0.05, description="time t", readout_format=".2f"
        )
        self.steps = ipywidgets.SelectionSlider(
            options=[1, 2, 4, 8, 20, 50], value=20, description="steps"
        )
        self.picture = ipywidgets.Image(
            format="jpeg",
            layout=ipywidgets.Layout(
                width=f"{2 * (canvas.PLANE + look.PADDING) + GAP}px", max_width=look.FITS
            ),
        )
        self.board_room, self.status = ipywidgets.VBox([]), ipywidgets.HTML()
        self.error = ipywidgets.HTML()
        rows = [[self.play, self.reset, self.target, self.seed], [self.time, self.steps]]
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        rows = [ipywidgets.HBox(row, layout=wrap) for row in rows]
        super().__init__([self.picture, *rows, self.board_room, self.status, self.error])
        self.play.observe(self._on_tick, "value")
        self.reset.on_click(self._on_reset)
        for control in (self.target, self.seed):
            control.observe(self._on_reset, "value")
        for control in (self.time, self.steps):
            control.observe(self._on_look, "value")
        for name in ("picture", "play", "reset", "target", "seed", "time", "steps", "status"):
            getattr(self, name).add_class(f"duel-{name}")
        self.picture.add_class("course-paper")
        self.add_class("duel")
        self._restart()

    def _restart(self) -> None:
        own = self.target.value == OWN
        if own and self._board is None:
            self._board = Board(LIT, self._on_board)
        self.board_room.children = (self._board,) if own else ()
        self.gan, self.flow = self._players()
        self._broken, self.error.value, self._said = False, "", 0.0
        self._show()

    def _players(self) -> tuple[toy.ToyGAN, PlaneFlow]:
        target = self._drawn() if self.target.value == OWN else self.target.value
        seed = self.seed.value
        return toy.ToyGAN(target, seed=seed), self._diffusion(target, seed=seed)

    def _drawn(self) -> toy.Target:
        return toy.own_points(self._board.points() or [(0, 0)], spread=STEP / 4)

    def _show(self) -> None:
        self.picture.value = encode(
            self._draw(self.gan, self.flow), "JPEG", quality=85, subsampling="4:2:0"
        )
        now = time.monotonic()
        if now - self._said > 0.5:  # to measure takes as long as to learn
            self._said = now
            real = self.gan.target(500, torch.Generator().manual_seed(1))
            noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(2))
            with torch.no_grad():
                forged = self.gan.generator(noise)
            walked = self.flow.walk(noise, self.steps.value)[-1]
            self.status.value = (
                f"Distance to the real points: GAN {toy.distance(forged, real):.2f}, "
                f"diffusion {toy.distance(walked, real):.2f}; "
                f"what chance leaves: {toy.floor(self.gan.target, 500, 2):.2f}"
            )

    def _draw(self, gan: toy.ToyGAN, flow: PlaneFlow) -> Image.Image:
        left = canvas.draw_plane(gan.scene(), title="GAN", rounds=gan.rounds, arrow=0)
        steps = self.steps.value
        passed = round(steps * (1 - self.time.value))  # a walk stands still between two steps
        walk = flow.walk(steps=steps)
        t = 1 - passed / steps
        title = f"Diffusion, at t = {t:.2f}"
        right = canvas.draw_walk(
            flow.fixed_real, walk[passed], flow.arrows(max(t, 0.02)), title=title,
            rounds=len(flow.losses),
        )  # fmt: skip
        gap = GAP * canvas.SCALE
        both = Image.new("RGB", (left.width + gap + right.width, left.height), "white")
        both.paste(left, (0, 0))
        both.paste(right, (left.width + gap, 0))
        return both.reduce(canvas.SCALE)

    @guarded
    def _on_tick(self, change) -> None:
        if change["new"] == 0 or self._broken or not self._lock.acquire(blocking=False):
            return
        try:
            self.gan.step(6)
            self.flow.step(6)
            self._show()
        finally:
            self._lock.release()

    @in_turn
    def _on_reset(self, _) -> None:
        self._restart()

    @in_turn
    def _on_look(self, _) -> None:
        self._said = 0.0
        self._show()

    @in_turn
    def _on_board(self) -> None:
        drawn = self._drawn()
        self.gan.set_target(drawn)
        self.flow.set_target(drawn)
        self._said = 0.0
        self._show()

    def still(self) -> bytes:
        """A PNG of both, from their start, after `still_rounds` rounds."""
        gan, flow = self._players()
        gan.step(self._still_rounds)
        flow.step(self._still_rounds)
        picture = self._draw(gan, flow)
        return encode(in_few_colours(picture), optimize=True)
