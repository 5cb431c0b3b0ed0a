"""The playground without a browser: what its controls do, what it shows, what it leaves behind."""

import base64
import io
import sys
import threading
import types

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from course_lib import toy
from course_lib.widgets import Playground, canvas
from course_lib.widgets.board import CELLS
from course_lib.widgets.playground import OWN


def picture(playground: Playground) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(playground.picture.value)).convert("RGB"), dtype=int)


def tick(playground: Playground, times: int = 1) -> None:
    for _ in range(times):
        playground.play.value += 1
    assert playground.error.value == ""


@pytest.fixture
def playground():
    return Playground("ring", still_rounds=10)


def test_playing_trains_and_draws(playground):
    before = playground.picture.value
    tick(playground, 3)
    assert playground.gan.rounds == 3 * playground.pace.value
    assert playground.picture.value != before
    playground.step_both.click()
    assert f'class="gan-round">{playground.gan.rounds}<' in playground.status.value


def test_pictures_in_motion_are_smaller_and_sharp_ones_have_twice_the_pixels(playground):
    size = (canvas.HEIGHT, canvas.WIDTH)
    assert picture(playground).shape[:2] == tuple(2 * n for n in size)
    tick(playground)
    assert picture(playground).shape[:2] == size


def test_the_stop_button_plays_nothing(playground):
    tick(playground, 2)
    rounds = playground.gan.rounds
    playground.play.value = 0
    assert playground.gan.rounds == rounds


def test_buttons_take_turns(playground):
    gan = playground.gan
    before = gan.scene()
    playground.step_d.click()
    assert torch.equal(gan.scene().fake, before.fake)
    assert not torch.equal(gan.scene().belief, before.belief)
    before = gan.scene()
    playground.step_g.click()
    assert not torch.equal(gan.scene().fake, before.fake)
    assert torch.equal(gan.scene().belief, before.belief)
    rounds = gan.rounds
    playground.step_both.click()
    assert gan.rounds == rounds + 1
    assert playground.error.value == ""


def test_start_again_gives_the_same_beginners(playground):
    before = playground.picture.value
    tick(playground, 2)
    playground.reset.click()
    assert playground.gan.rounds == 0
    assert playground.picture.value == before
    playground.seed.value = 5
    assert playground.picture.value != before


def test_controls_reach_the_game(playground):
    playground.lr_d.value = 0.01
    playground.steps_g.value = 7
    playground.loss.value = "hinge"
    gan = playground.gan
    assert gan.optimiser_d.param_groups[0]["lr"] == 0.01
    assert gan.steps_g == 7
    assert gan.loss_name == "hinge"
    playground.optimiser.value = "SGD"
    assert isinstance(gan.optimiser_g, torch.optim.SGD)
    assert (playground.lr_d.value, playground.lr_g.value) == toy.DEFAULT_RATES["SGD"]
    playground.reset.click()
    assert playground.gan is not gan
    assert (playground.gan.steps_g, playground.gan.loss_name) == (7, "hinge")
    assert playground.gan.optimiser_g.param_groups[0]["lr"] == toy.DEFAULT_RATES["SGD"][1]


def test_settings_are_shown_in_the_controls():
    playground = Playground("line", loss="minimax", lr_d=0.0123, steps_d=4, seed=9)
    assert playground.target.value == "line"
    assert playground.loss.value == "minimax"
    assert playground.lr_d.value == 0.0123
    assert playground.steps_d.value == 4
    assert playground.seed.value == 9


def test_every_target_and_layer_can_be_shown(playground):
    for name in toy.TARGETS:
        playground.target.value = name
        tick(playground)
    whole = playground.picture.value
    for layer in (playground.heat, playground.net):
        layer.value = False
        assert playground.picture.value != whole
        layer.value = True
    playground.arrow.value = 0
    assert playground.picture.value != whole
    assert playground.error.value == ""


def test_slow_motion_shows_the_turns_one_after_another(playground, monkeypatch):
    monkeypatch.setattr("course_lib.widgets.playground.SLOW_SECONDS", 0)
    playground.slow.value = True
    seen = []
    for _ in range(3):
        scene = playground.gan.scene()
        tick(playground)
        now = playground.gan.scene()
        seen.append((torch.equal(scene.belief, now.belief), torch.equal(scene.fake, now.fake)))
    assert seen == [(False, True), (True, True), (True, False)]


def test_slow_motion_skips_ticks_that_come_too_early(playground):
    playground.slow.value = True
    tick(playground, 5)
    assert playground.gan.rounds == 0


def test_own_target_is_drawn_by_clicking_cells(playground):
    tick(playground)
    playground.target.value = OWN
    cells = playground._board.cells
    assert len(cells) == CELLS**2
    tick(playground, 2)
    gan, rounds = playground.gan, playground.gan.rounds
    playground._board.clear.click()
    cells[0].value = True
    assert playground.gan is gan  # the players go on, with another target
    assert gan.rounds == rounds
    real = gan.scene().real
    assert (real[:, 0] < -0.8).all()
    assert (real[:, 1] > 0.8).all()
    tick(playground)
    playground.target.value = "ring"
    assert playground.board_room.children == ()


def test_points_of_the_caller_are_the_target():
    playground = Playground(points=[(1.0, 1.0), (1.0, -1.0)])
    assert playground.target.value == OWN
    assert (playground.gan.scene().real[:, 0] > 0.8).all()
    playground.reset.click()
    assert (playground.gan.scene().real[:, 0] > 0.8).all()
    with pytest.raises(ValueError, match="outside the square"):
        Playground(points=[(7.0, 7.0)])


def test_errors_in_callbacks_are_shown_and_stop_the_game(playground, monkeypatch):
    def broken():
        raise RuntimeError("<no> such luck")

    with monkeypatch.context() as patch:
        patch.setattr(playground.gan, "step_discriminator", broken)
        playground.play.value += 1
    assert "RuntimeError: &lt;no&gt; such luck" in playground.error.value
    rounds = playground.gan.rounds
    playground.play.value += 1
    assert playground.gan.rounds == rounds
    playground.reset.click()
    tick(playground)
    assert playground.gan.rounds > 0


def test_a_tick_is_skipped_while_another_is_drawn(playground):
    with playground._lock:
        thread = threading.Thread(target=tick, args=[playground])
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    assert playground.gan.rounds == 0


def test_diverged_games_are_still_drawn():
    playground = Playground("ring", lr_g=1.0, optimiser="SGD", loss="least squares", lr_d=1.0)
    tick(playground, 60)
    playground.reset.click()
    with torch.no_grad():
        playground.gan.generator.main[0].weight.fill_(float("nan"))
    tick(playground)


def test_classes_for_the_browser_test(playground):
    assert "gan-playground" in playground._dom_classes
    assert "gan-playground-picture" in playground.picture._dom_classes
    for name in ("play", "step_d", "step_g", "reset", "slow", "lr_d", "status", "error"):
        assert "gan-" + name.replace("_", "-") in getattr(playground, name)._dom_classes


def test_still_stands_in_where_no_kernel_runs(playground):
    data, _ = DisplayFormatter().format(playground)
    assert data["text/plain"] == playground.words
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == playground.model_id
    still = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert still.size == (canvas.WIDTH, canvas.HEIGHT)
    assert playground.gan.rounds == 0  # the game itself has not begun
    again = base64.b64decode(DisplayFormatter().format(Playground(still_rounds=10))[0]["image/png"])
    assert np.array_equal(np.asarray(still), np.asarray(Image.open(io.BytesIO(again))))


def test_colab_gets_the_widget_without_a_picture_beside_it(playground, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    data, _ = DisplayFormatter().format(playground)
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json"}


def test_colours_say_who_is_believed():
    palette = np.array(canvas.BELIEF_PALETTE).reshape(256, 3)
    red, blue = palette[:, 0], palette[:, 2]
    assert red[0] > blue[0]
    assert blue[-1] > red[-1]
    assert palette[127].min() > 250
