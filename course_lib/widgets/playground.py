"""Lesson 1's playground: a two-dimensional GAN to play with."""

from __future__ import annotations

import threading
import time

import ipywidgets
from torch import Tensor

from course_lib import toy
from course_lib.widgets import canvas, look
from course_lib.widgets.board import STEP, Board
from course_lib.widgets.guard import guarded, in_turn
from course_lib.widgets.still import WithStill, encode

_TIP = "tooltip" if "tooltip" in ipywidgets.IntSlider.class_trait_names() else "description_tooltip"
OWN = "your own"
LIT = ((2, 2), (2, 8), (7, 2), (8, 4), (8, 6), (7, 8))  # two eyes and a smile
SLOW_SECONDS = 0.9  # one picture of slow motion


class Playground(WithStill):
    """Train a two-dimensional GAN and watch everything it does, on one plane.

    target: a name in `toy.TARGETS`. points: (N, 2) points of your own instead, within ±1.5.
    seed, settings: as for `toy.ToyGAN`. `self.gan` is the game that is being played.
    still_rounds: how far the still has played that stands here where no kernel runs.
    """

    words = "A playground: run this cell in JupyterLab or Colab to play."

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
        self._board: Board | None = None
        self.gan = toy.ToyGAN(target if points is None else points, seed=seed, **settings)
        self._make_buttons()
        self._make_settings(target if points is None else OWN, seed)
        self.picture = ipywidgets.Image(
            format="jpeg",
            width=str(canvas.WIDTH),
            height=str(canvas.HEIGHT),
            layout=ipywidgets.Layout(
                width=f"{canvas.WIDTH + 2 * look.PADDING}px", max_width=look.FITS, height="auto"
            ),
        )
        self.board_room = ipywidgets.VBox([])
        self.status = ipywidgets.HTML()
        self.error = ipywidgets.HTML()
        super().__init__(
            [
                self.picture,
                self._row(
                    self.play, self.step_d, self.step_g, self.step_both, self.reset, self.slow
                ),
                self._row(
                    self._column("The game", self.target, self.loss, self.seed),
                    self._column("Learning", self.optimiser, self.lr_d, self.lr_g),
                    self._column("A round", self.pace, self.steps_d, self.steps_g),
                ),
                self._row(self.arrow, self.heat, self.net),
                self.board_room,
                self.status,
                self.error,
            ],
            layout=ipywidgets.Layout(
                width=f"{canvas.WIDTH + 2 * look.PADDING + 8}px", max_width="100%"
            ),
        )
        self._listen()
        self._name_for_css()
        self._restart()

    # -- what there is to press and to set

    def _make_buttons(self) -> None:
        self.play = ipywidgets.Play(interval=45, min=0, max=10_000, show_repeat=False)
        self.step_d = self._button("D's turn", "D learns, G stands still", "#B2E2D5")
        self.step_g = self._button("G's turn", "G learns, D stands still", "#F7CFB2")
        self.step_both = self._button("One round", "D's turns, then G's turns")
        self.reset = self._button("Start again", "Two new beginners")
        self.slow = ipywidgets.ToggleButton(
            description="Slow motion", layout=ipywidgets.Layout(width="110px")
        )
        setattr(self.slow, _TIP, "While playing: D's turn, its pull, G's turn, one after another")

    def _make_settings(self, target: str, seed: int) -> None:
        gan = self.gan
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
        named = self._named("Arrows", "How long they are drawn")
        self.arrow = ipywidgets.FloatSlider(value=canvas.ARROW, min=0, max=1, step=0.05, **named)

    def _listen(self) -> None:
        self.play.observe(self._on_tick, "value")
        playing = "playing" if self.play.has_trait("playing") else "_playing"  # ipywidgets 8, 7
        self.play.observe(self._on_pause, playing)
        self.step_d.on_click(self._on_step_d)
        self.step_g.on_click(self._on_step_g)
        self.step_both.on_click(self._on_step_both)
        self.reset.on_click(self._on_reset)
        for control in (self.target, self.seed):
            control.observe(self._on_reset, "value")
        self.optimiser.observe(self._on_optimiser, "value")
        for name in ("loss", "lr_d", "lr_g", "steps_d", "steps_g"):
            getattr(self, name).observe(self._on_rule, "value")
        for control in (self.heat, self.net, self.arrow):
            control.observe(self._on_look, "value")

    def _name_for_css(self) -> None:
        """Classes, by which the browser's test finds the controls."""
        self.add_class("gan-playground")
        self.picture.add_class("gan-playground-picture")
        self.picture.add_class("course-paper")
        self.step_both.add_class("gan-step")
        names = "play step_d step_g reset slow target loss seed optimiser lr_d lr_g steps_d steps_g"
        for name in (*names.split(), "pace", "heat", "net", "arrow", "status", "error"):
            getattr(self, name).add_class(f"gan-{name.replace('_', '-')}")

    @staticmethod
    def _row(*children) -> ipywidgets.HBox:
        return ipywidgets.HBox(children, layout=ipywidgets.Layout(flex_flow="row wrap"))

    @staticmethod
    def _column(head: str, *children) -> ipywidgets.VBox:
        head = ipywidgets.HTML(f"<b>{head}</b>")
        return ipywidgets.VBox([head, *children], layout=ipywidgets.Layout(width="278px"))

    @staticmethod
    def _button(words: str, tip: str, colour: str | None = None) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description=words, tooltip=tip, layout=ipywidgets.Layout(width="100px")
        )
        if colour:
            button.style.button_color = colour
            button.add_class("course-light-button")
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

    # -- the game

    def _restart(self) -> None:
        own = self.target.value == OWN
        if own and self._board is None:  # 121 buttons: made when first wanted
            self._board = Board(LIT if self._points is None else (), self._on_board)
        self.board_room.children = (self._board,) if own else ()
        target = self._drawn_points() if own else self.target.value
        self.gan = toy.ToyGAN(
            target, optimiser=self.optimiser.value, seed=self.seed.value, **self._rules()
        )
        self._distances: list[tuple[int, float]] = []
        self._moment = {"title": "The plane"}
        self._phase, self._broken, self.error.value = 0, False, ""
        self._retarget(self.gan.target)

    def _drawn_points(self) -> toy.Target:
        """What the board shows; while it is empty, the caller's points."""
        if drawn := self._board.points():
            return toy.own_points(drawn, spread=STEP / 4)
        return toy.own_points([(0, 0)] if self._points is None else self._points)

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

    def _learn_d(self) -> None:
        for _ in range(self.pace.value * self.gan.steps_d):
            self.gan.step_discriminator()

    def _learn_g(self) -> Tensor:
        """G's turns, which close a round; where its forgeries (200, 2) were before."""
        before = self.gan.scene().fake
        for _ in range(self.pace.value * self.gan.steps_g):
            self.gan.step_generator()
        self.gan.record()
        return before

    def _advance(self) -> None:
        """What happens between two pictures while it plays."""
        if not self.slow.value:
            self.gan.step(self.pace.value)
            self._phase, self._moment = 0, {"title": "The plane"}
            return
        if self._phase == 0:
            self._learn_d()
            self._moment = {"title": "1. D has redrawn its map", "arrow": 0}
        elif self._phase == 1:
            self._moment = {"title": "2. Where D's map pulls each forgery"}
        else:
            self._moment = {"title": "3. G has moved", "arrow": 0, "before": self._learn_g()}
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
            self._charts = canvas.draw_charts(self.gan, self._distances, self._floor)
            self._small_charts = self._charts.reduce(canvas.SCALE)
        shown = {"arrow": self.arrow.value, "heat": self.heat.value, "net": self.net.value}
        plane = canvas.draw_plane(self.gan.scene(), rounds=self.gan.rounds, **shown | self._moment)
        picture = (self._charts if sharp else self._small_charts).copy()
        picture.paste(plane if sharp else plane.reduce(canvas.SCALE), (0, 0))
        # In motion nobody sees the colours' lost pixels, and the page decodes it sooner.
        quality, subsampling = (90, "4:4:4") if sharp else (80, "4:2:0")
        self.picture.value = encode(picture, "JPEG", quality=quality, subsampling=subsampling)
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

    @guarded
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

    @in_turn
    def _on_pause(self, change) -> None:
        if not change["new"] and not self._broken:
            self._show()

    @in_turn
    def _on_step_d(self, _) -> None:
        self._learn_d()
        self.gan.record()
        self._moment = {"title": "After D's turn"}
        self._show()

    @in_turn
    def _on_step_g(self, _) -> None:
        self._moment = {"title": "After G's turn", "before": self._learn_g()}
        self._show()

    @in_turn
    def _on_step_both(self, _) -> None:
        self._moment = {"title": "After one round", "before": self.gan.scene().fake}
        self.gan.step(1)
        self._show()

    @in_turn
    def _on_reset(self, _) -> None:
        self._restart()

    @in_turn
    def _on_rule(self, _) -> None:
        self.gan.configure(**self._rules())
        self._show()

    @guarded
    def _on_optimiser(self, change) -> None:
        with self._lock:
            self.gan.configure(optimiser=change["new"])
        self.lr_d.value, self.lr_g.value = toy.DEFAULT_RATES[change["new"]]

    @in_turn
    def _on_look(self, _) -> None:
        self._show()

    @in_turn
    def _on_board(self) -> None:
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
        picture = canvas.draw_game(gan, distances, self._floor).reduce(canvas.SCALE)
        return encode(picture, optimize=True)
