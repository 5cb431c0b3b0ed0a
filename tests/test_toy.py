"""The toy GAN of lesson 1: its formulas, its game, its measures, and what the lesson claims."""

import copy
import math
import re

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import plots, toy


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(net: nn.Module) -> list[torch.Tensor]:
    return [w.detach().clone() for w in net.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# Targets


@pytest.mark.parametrize("name", toy.TARGETS)
def test_targets_fit_the_plane_and_repeat_themselves(name):
    points = toy.TARGETS[name](2000, rng())
    assert points.shape == (2000, 2)
    assert points.abs().max() < toy.REACH
    assert torch.equal(points, toy.TARGETS[name](2000, rng()))
    assert not torch.equal(points, toy.TARGETS[name](2000, rng(1)))


def test_ring_is_round_and_blobs_are_where_they_should():
    assert toy.ring(2000, rng()).norm(dim=1).mean().item() == pytest.approx(1, abs=0.01)
    points = toy.blobs((-1, 0.5), (1, 0.5), spread=0.1)(2000, rng())
    assert (points[:, 0] > 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert points[points[:, 0] > 0].mean(dim=0).tolist() == pytest.approx([1, 0.5], abs=0.02)


def test_own_points_are_drawn_near_the_points():
    own = [[0, 0], [1, 1]]
    points = toy.own_points(own)(500, rng())
    assert torch.cdist(points, torch.tensor(own).float()).min(dim=1).values.max() < 0.2


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([1.0, 2.0], "shape (N, 2)"),
        ([[1.0, 2.0, 3.0]], "shape (N, 2)"),
        (torch.zeros(0, 2), "shape (N, 2)"),
        ([[0.0, 9.0]], "divide by the largest"),
        ([[0.0, math.nan]], "NaN or infinite"),
        ([[0.0, math.inf]], "NaN or infinite"),
    ],
)
def test_own_points_say_what_is_wrong(points, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        toy.own_points(points)


# Losses


def test_logarithmic_losses_are_the_paper_s():
    score = torch.linspace(-8, 8, 33, dtype=torch.float64)
    belief = torch.sigmoid(score)
    for name in ("minimax", "non-saturating"):
        loss = toy.LOSSES[name]
        torch.testing.assert_close(loss.on_real(score), -belief.log())
        torch.testing.assert_close(loss.on_fake(score), -(1 - belief).log())
        torch.testing.assert_close(
            loss.on_real(score),
            F.binary_cross_entropy_with_logits(score, torch.ones_like(score), reduction="none"),
        )
    torch.testing.assert_close(toy.LOSSES["minimax"].generator(score), (1 - belief).log())
    torch.testing.assert_close(toy.LOSSES["non-saturating"].generator(score), -belief.log())


def test_slopes_of_g_s_losses_are_those_the_lesson_names():
    score = torch.linspace(-6, 6, 25, requires_grad=True)
    belief = torch.sigmoid(score).detach()
    for name, slope in (("minimax", -belief), ("non-saturating", -(1 - belief))):
        (gradient,) = torch.autograd.grad(toy.LOSSES[name].generator(score).sum(), score)
        torch.testing.assert_close(gradient, slope)


@pytest.mark.parametrize("name", toy.LOSSES)
def test_every_loss_wants_what_its_player_wants(name):
    loss = toy.LOSSES[name]
    low, high = torch.tensor(0.1), torch.tensor(0.9)
    assert loss.on_real(high) < loss.on_real(low)
    assert loss.on_fake(low) < loss.on_fake(high)
    assert loss.generator(high) < loss.generator(low)
    assert 0 <= loss.belief(torch.tensor(-9.0)) <= loss.belief(torch.tensor(9.0)) <= 1
    assert loss.on_real(torch.tensor(300.0)).isfinite()


# The game


def test_each_turn_moves_its_own_player_only():
    gan = toy.ToyGAN()
    before = weights(gan.generator), weights(gan.discriminator)
    gan.step_discriminator()
    assert same(weights(gan.generator), before[0])
    assert not same(weights(gan.discriminator), before[1])
    before = weights(gan.generator), weights(gan.discriminator)
    gan.step_generator()
    assert not same(weights(gan.generator), before[0])
    assert same(weights(gan.discriminator), before[1])


def test_discriminator_turn_is_the_plain_one():
    gan = toy.ToyGAN(optimiser="SGD", lr_d=0.1)
    net, again = copy.deepcopy(gan.discriminator), rng()
    again.set_state(gan.rng.get_state())
    real = gan.target(gan.batch_size, again)
    fake = gan.generator(torch.randn(gan.batch_size, 2, generator=again)).detach()
    loss = -torch.sigmoid(net(real)).log().mean() - (1 - torch.sigmoid(net(fake))).log().mean()
    loss.backward()
    assert gan.step_discriminator() == pytest.approx(loss.item(), rel=1e-4)
    for mine, theirs in zip(net.parameters(), gan.discriminator.parameters(), strict=True):
        torch.testing.assert_close(mine - 0.1 * mine.grad, theirs, rtol=1e-4, atol=1e-6)


def test_same_seed_same_game_and_looking_changes_nothing():
    first, second, other = toy.ToyGAN(seed=1), toy.ToyGAN(seed=1), toy.ToyGAN(seed=2)
    for _ in range(20):
        for gan in (first, second, other):
            gan.step()
        second.scene()
        toy.measure(second, 100)
        toy.accuracy(second, n=100)
        toy.fresh_appraiser(second, steps=1)
        torch.randn(3)
    assert same(weights(first.generator), weights(second.generator))
    assert first.history == second.history
    assert not same(weights(first.generator), weights(other.generator))


def test_a_game_leaves_the_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    toy.fresh_appraiser(toy.ToyGAN(seed=3).step(2), steps=1)
    assert torch.equal(torch.randn(3), expected)


def test_history_has_an_entry_a_round():
    gan = toy.ToyGAN(steps_d=2, steps_g=3).step(5)
    assert gan.rounds == 5
    assert {name: len(values) for name, values in gan.history.items()} == {
        "loss_D": 5,
        "loss_G": 5,
        "D_real": 5,
        "D_fake": 5,
    }
    assert all(map(math.isfinite, gan.history["loss_G"]))


def test_rules_change_in_the_middle_of_a_game():
    gan = toy.ToyGAN().step(2)
    optimiser = gan.optimiser_d
    gan.configure(loss="hinge", lr_d=0.5, steps_g=4)
    assert gan.loss is toy.LOSSES["hinge"]
    assert gan.optimiser_d is optimiser
    assert optimiser.param_groups[0]["lr"] == 0.5
    assert (gan.steps_d, gan.steps_g) == (1, 4)
    gan.configure(optimiser="SGD")
    assert isinstance(gan.optimiser_d, torch.optim.SGD)
    assert gan.optimiser_g.param_groups[0]["lr"] == toy.DEFAULT_RATES["SGD"][1]
    before = weights(gan.generator)
    gan.set_target("line")
    assert same(weights(gan.generator), before)
    gan.step()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target": "square"}, "no target called 'square'; known: ring, line"),
        ({"loss": "L1"}, "no loss called 'L1'; known: non-saturating, minimax"),
        ({"optimiser": "Lion"}, "no optimiser called 'Lion'; known: Adam, SGD"),
        ({"lr_d": 0}, "learning rate is 0; it must be a number greater than 0"),
        ({"lr_g": "1e-2"}, "learning rate is '1e-2'; it must be a number greater than 0"),
        ({"steps_g": -1}, "steps_g is -1"),
    ],
)
def test_bad_settings_name_the_known_ones(settings, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        toy.ToyGAN(**settings)


# What there is to see


def test_scene_keeps_identities_and_puts_the_map_the_right_way_up():
    gan = toy.ToyGAN()
    with torch.no_grad():  # a D that believes in what is far up
        for layer in gan.discriminator.main:
            if isinstance(layer, nn.Linear):
                layer.weight.zero_()
                layer.bias.zero_()
                layer.weight[0, -1 if layer.in_features == 2 else 0] = 1
    scene = gan.scene(resolution=16)
    assert scene.belief.shape == (16, 16)
    assert (scene.belief[0] > 0.7).all()
    assert (scene.belief[-1] < 0.5).all()
    assert torch.equal(scene.real, gan.scene().real)
    assert torch.equal(scene.fake, gan.scene().fake)
    assert scene.grid.shape == toy.NOISE_GRID.shape
    assert (scene.pull[:, 1] > 0).all()  # upwards, to where D believes
    torch.testing.assert_close(scene.pull[:, 0], torch.zeros(200))


def test_pull_is_minus_the_gradient_of_g_s_loss():
    gan = toy.ToyGAN().step(20)
    points = gan.scene().fake[:5].double()
    judge = copy.deepcopy(gan.discriminator).double()

    def loss(at: torch.Tensor) -> torch.Tensor:
        return -torch.sigmoid(judge(at)).log()

    h = 1e-6
    for axis in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[axis] = h
        slope = (loss(points + step) - loss(points - step)) / (2 * h)
        torch.testing.assert_close(
            gan.pull(points.float())[:, axis], -slope.float(), rtol=1e-2, atol=1e-4
        )


def test_every_mesh_of_the_noise_net_holds_the_same_share_of_noise():
    columns = toy.NOISE_GRID[:11, 0, 0]
    noise = torch.randn(200_000, generator=rng())
    shares = [((noise > a) & (noise < b)).float().mean().item() for a, b in columns.unfold(0, 2, 1)]
    assert shares == pytest.approx([0.096] * 10, abs=0.004)


# Measures


def test_distance_of_a_shifted_cloud():
    cloud = toy.ring(1000, rng())
    assert toy.distance(cloud, cloud[torch.randperm(1000, generator=rng())]) < 1e-6
    # a shift by 1 shifts the shadow by |cos| of its angle, on average 2 / pi
    shifted = toy.distance(cloud, cloud + torch.tensor([1.0, 0.0]))
    assert shifted == pytest.approx(2 / math.pi, rel=0.01)


def test_measures_tell_a_forger_of_one_spot_and_a_perfect_one():
    gan = toy.ToyGAN("two blobs")
    gan.generator = nn.Linear(2, 2)
    nn.init.zeros_(gan.generator.weight)
    gan.generator.bias = nn.Parameter(torch.tensor([0.8, 0.0]))  # the middle of one blob
    one_spot = toy.measure(gan)
    assert one_spot.quality == 1
    assert 0.2 < one_spot.coverage < 0.5
    assert toy.fresh_appraiser(gan, steps=200) > 0.75

    gan.set_target(lambda n, rng: torch.randn(n, 2, generator=rng) * 0.2)
    nn.init.eye_(gan.generator.weight).data.mul_(0.2)
    nn.init.zeros_(gan.generator.bias)
    perfect = toy.measure(gan)
    assert perfect.quality > 0.98
    assert perfect.coverage > 0.98
    assert perfect.distance < 0.02
    assert toy.fresh_appraiser(gan, steps=200) < 0.54


def test_floor_is_small():
    for target in toy.TARGETS.values():
        assert 0 < toy.floor(target) < 0.05


# What the lesson claims


@pytest.mark.parametrize("seed", range(3))
def test_two_beginners_become_experts(seed):
    gan = toy.ToyGAN("ring", seed=seed)
    before, told_before = toy.measure(gan), toy.fresh_appraiser(gan, 300)
    gan.step(1000)
    after, told_after = toy.measure(gan), toy.fresh_appraiser(gan, 300)
    assert after.distance < before.distance / 5
    assert after.coverage > 0.95
    assert after.quality > 0.9
    assert told_before > 0.95
    assert told_after < 0.75
    assert 0.4 < toy.accuracy(gan) < 0.6


def test_balance_collapse_and_a_d_too_strong():
    games = [
        toy.measure(toy.ToyGAN("three blobs", **rules).step(300))
        for rules in ({}, {"steps_g": 10}, {"lr_d": 3e-2})
    ]
    assert [game.coverage > 0.5 for game in games] == [True, False, False]


def test_minimax_starves_g_of_a_d_that_is_far_ahead():
    gan = toy.ToyGAN("ring")
    pulls = {"minimax": [], "non-saturating": []}
    for _ in range(2):
        for _ in range(40 if not pulls["minimax"] else 400):
            gan.step_discriminator()
        for loss, strength in pulls.items():
            gan.configure(loss=loss)
            strength.append(gan.scene().pull.norm(dim=1).median().item())
    assert pulls["minimax"][1] < pulls["minimax"][0] / 10
    assert pulls["non-saturating"][1] > pulls["non-saturating"][0]


@pytest.mark.parametrize("loss", toy.LOSSES)
def test_every_loss_learns_the_ring(loss):
    gan = toy.ToyGAN("ring", loss=loss)
    before = toy.measure(gan).distance
    assert toy.measure(gan.step(500)).distance < before / 3


# Figures of the lesson


@pytest.mark.parametrize("number", [1, 2, 4])
def test_planes_are_drawn(number, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    scenes = [toy.ToyGAN(seed=seed).scene() for seed in range(number)]
    plots.show_planes(scenes, titles=[str(i) for i in range(number)])
    axes = [a for a in shown[0].axes if a.axison]
    assert [a.get_title() for a in axes] == [str(i) for i in range(number)]
    words = [text.get_text() for text in shown[0].legends[0].get_texts()]
    assert words == ["real", "forged", "D's pull", "G's net of noise", "D: forged", "D: real"]
    assert not axes[0].texts  # beginners' forgeries are all inside
    plt.close("all")


def test_planes_say_how_many_forgeries_are_not_on_them(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    scene = toy.ToyGAN().scene()
    scene.fake[:3, 0], scene.fake[3, 1] = toy.REACH + 0.1, math.nan
    plots.show_planes([scene])
    (text,) = shown[0].axes[0].texts
    assert text.get_text() == "4 of 200 lie outside this square"
    plt.close("all")


# Many games at once


@pytest.mark.parametrize("rules", [{"lr_g": 2e-3}, {"optimiser": "SGD", "lr_d": 0.2}])
def test_games_at_once_are_the_same_as_one_by_one(rules):
    """With the same points and noise, each of the games at once goes as it goes alone."""
    together = toy.Games("three blobs", games=3, **rules)
    drawn = [toy.ToyGAN("three blobs", seed=9).sample_real(128) for _ in range(20)]
    noise = [torch.randn(128, 2, generator=rng(i)) for i in range(20)]
    together.sample_real = lambda n: drawn[together.rounds].expand(3, -1, -1)
    together.sample_fake = lambda n: together.generator(
        noise[together.rounds].expand(3, -1, -1).contiguous()
    )
    together.step(20)
    for seed, game in enumerate(together.each()):
        alone = toy.ToyGAN("three blobs", seed=seed, **rules)
        alone.sample_real = lambda n, alone=alone: drawn[alone.rounds]
        alone.sample_fake = lambda n, alone=alone: alone.generator(noise[alone.rounds])
        alone.step(20)
        for player in ("generator", "discriminator"):
            pairs = zip(
                weights(getattr(alone, player)), weights(getattr(game, player)), strict=True
            )
            assert all(torch.allclose(own, copy, atol=1e-4) for own, copy in pairs)


def test_games_at_once_differ_and_are_given_fresh_points_each():
    games = toy.Games("ring", games=3)
    real, fake = games.sample_real(50), games.sample_fake(50)
    assert real.shape == fake.shape == (3, 50, 2)
    assert not torch.equal(real[0], real[1])
    assert not torch.allclose(fake[0], fake[1])


def test_fresh_appraisers_see_through_beginners_and_not_through_the_perfect():
    games = toy.Games("ring", games=2)
    assert all(accuracy > 0.95 for accuracy in games.fresh_appraisers(steps=150))
    perfect = toy.Games(lambda n, rng: 0.1 * torch.randn(n, 2, generator=rng), games=2)
    perfect.generator.forward = lambda noise: 0.1 * noise
    for game in perfect.single:
        game.generator.forward = lambda noise: 0.1 * noise
    assert all(0.45 < accuracy < 0.55 for accuracy in perfect.fresh_appraisers(steps=50))
