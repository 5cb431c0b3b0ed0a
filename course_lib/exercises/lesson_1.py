"""Lesson 1's exercises: the loss of two players, and games that go wrong."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import settings as course
from course_lib import toy
from course_lib.exercises.frame import call, checker, kind, require

SETTINGS = {"loss", "optimiser", "lr_d", "lr_g", "steps_d", "steps_g"}


@course.one_thread()
def _play(settings: dict, games: int, looks: tuple[int, ...]) -> Tensor:
    """Coverage, quality and D's accuracy, (looks, games, 3), after so many rounds each."""
    strange = set(settings) - SETTINGS
    require(not strange, f"These are no settings of this game: {', '.join(sorted(strange))}.")
    played, found = toy.Games("three blobs", games=games, **settings), []
    for look in looks:
        played.step(look - played.rounds)
        found.append([_seen(game) for game in played.each()])
    return torch.tensor(found)


def _seen(game: toy.ToyGAN) -> tuple[float, float, float]:
    measured = toy.measure(game, n=500)
    return measured.coverage, measured.quality, toy.accuracy(game, n=1000)


@checker("1.1")
def discriminator_loss(loss: Callable) -> str:
    """`loss(real_scores, fake_scores)`: mean of -log D(x) plus mean of -log(1 - D(G(z)))."""
    real, fake = torch.randn(24) + 1, torch.randn(24) - 2
    answer = call(loss, real.clone().requires_grad_(), fake.clone().requires_grad_())
    require(
        isinstance(answer, Tensor) or not isinstance(answer, int | float),
        "A number is right for us, but not for D, which learns from its gradient: return the "
        "tensor, without .item().",
    )
    require(
        isinstance(answer, Tensor) and answer.ndim == 0,
        "Return one number, a tensor without dimensions: the mean over the points.",
    )
    require(
        answer.requires_grad,
        "Your loss has no gradient, so D can learn nothing from it: no detach, no torch.no_grad.",
    )
    _is_loss(answer.detach(), real, fake)
    _is_loss_of_the_sure(loss)
    return "That is Goodfellow's loss, and it stays finite for every score."


def _is_loss(answer: Tensor, real: Tensor, fake: Tensor) -> None:
    """Require Goodfellow's loss of modest scores; say which mistake it looks like."""
    on_real, on_fake = F.softplus(-real), F.softplus(fake)
    right = on_real.mean() + on_fake.mean()
    require(
        not answer.isnan(),
        "Your loss is not a number: a score may be negative, and has no logarithm then. "
        "D(x) = sigmoid(score) comes first.",
    )
    for mistaken, why in (
        (on_real.mean(), "That is the half about real points. What of the forgeries?"),
        (on_fake.mean(), "That is the half about forgeries. What of the real points?"),
        (
            F.softplus(real).mean() + F.softplus(-fake).mean(),
            "This D is rewarded for calling real points forged and forgeries real: swap the signs.",
        ),
        (-right, "A loss falls when D does well; yours rises. The logarithms want a minus sign."),
        (right / 2, "Half of it: the paper adds the two means, it does not average them."),
        (
            right * len(real),
            "You add up the points; take their mean, so that a larger batch is no larger loss.",
        ),
        (F.softplus(-fake).mean(), "That is what G wants. D wants forgeries to score low."),
        (
            on_real.mean() + F.softplus(-fake).mean(),
            "This D calls everything real: forgeries, too, lower its loss by a high score.",
        ),
        (
            on_real.mean() - on_fake.mean(),
            "The second half has the wrong sign: both logarithms want their minus.",
        ),
        (
            ((real - 1) ** 2).mean() + (fake**2).mean(),
            "That is the loss of least squares (Mao et al. 2017), not Goodfellow's.",
        ),
        (
            F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
            "That is the hinge loss (Lim and Ye 2017), not Goodfellow's.",
        ),
        (
            right / torch.tensor(2.0).log(),
            "Logarithms to the base 2; the paper's are natural ones, torch.log.",
        ),
    ):
        require(not torch.allclose(answer, mistaken, rtol=1e-3, atol=1e-4), why)
    require(
        torch.allclose(answer, right, rtol=1e-3, atol=1e-4),
        f"For the test's scores the loss is {right.item():.4f}, yours is {answer.item():.4f}.",
    )


def _is_loss_of_the_sure(loss: Callable) -> None:
    """Require the right loss where sigmoid rounds to 0 or 1: there it is 200, and its slope 1."""
    for score, where in (
        (200.0, "forgeries with a score of 200, where 1 - sigmoid"),
        (-200.0, "real points with a score of -200, where sigmoid"),
    ):
        scores = torch.full((4,), score)
        sure = call(loss, scores, scores)
        require(
            bool(sure.isfinite()),
            f"Right for modest scores, but infinite for {where} rounds to 0: use F.softplus.",
        )
        require(
            torch.allclose(sure, torch.tensor(200.0), rtol=1e-3),
            f"Right for modest scores, but {sure.item():.1f} and not 200 for {where} rounds to 0. "
            "What keeps your logarithm finite, a small number added or a limit, cuts the loss off, "
            "and with it the gradient: D could not learn from its worst mistakes. Use F.softplus.",
        )


def _is_dict(settings: Any, name: str = "") -> None:
    require(isinstance(settings, dict), f"Give a dict of settings{name}, not {kind(settings)}.")


def _times_usual(settings: dict, rate: str) -> float:
    """How many times the optimiser's usual rate that of D ("lr_d") or of G ("lr_g") is."""
    usual = toy.DEFAULT_RATES.get(settings.get("optimiser", "Adam"), toy.DEFAULT_RATES["Adam"])
    usual = usual[("lr_d", "lr_g").index(rate)]
    return (settings.get(rate) or usual) / usual


@checker("1.2")
def collapse(settings: dict) -> str:
    """Settings with one turn each a round whose G crowds into one spot."""
    _is_dict(settings)
    require(
        settings.get("steps_d", 1) == settings.get("steps_g", 1) == 1,
        "Each player keeps one turn a round; change how far a turn goes.",
    )
    found = _play(settings, games=12, looks=(300, 350, 400))
    coverage, quality = found[..., 0].mean().item(), found[..., 1].amax(0).mean().item()
    d, g = _times_usual(settings, "lr_d"), _times_usual(settings, "lr_g")
    sensible = (
        "Sensible for Adam is an lr_d of 3e-4 to 1e-3 and an lr_g of 5e-3 to 2e-2: G must get so "
        "far ahead that D's map is always out of date, and D must still draw one."
    )
    if d > 2 * g:
        why = "Here D is ahead, not G."
    elif d > 2:
        why = "G hurries, but so does D, and keeps up."
    else:
        why = "G is not far enough ahead."
    require(
        coverage < 0.4,
        f"In twelve games the forgeries cover {coverage:.0%} of the real points on average, and "
        f"one blob of three is 33 %: no collapse. {why} {sensible}",
    )
    if d < 0.09:
        why = "D hardly learns: where there is no map, G runs off into the void."
    elif g < 0.1:
        why = "G's turns are too short to arrive."
    else:
        why = "G's turns are too long to land."
    require(
        quality >= 0.4,
        f"Your forgeries are hardly ever where real points are ({quality:.0%} of them, in each "
        f"game's best moment). A collapsed G forges well, but only one thing. {why} {sensible}",
    )
    accuracy = found[..., 2].mean()
    require(
        accuracy < 0.75,
        f"G sits on one blob or two, since D is too strong: it is right in {accuracy:.0%} of its "
        "judgements, and every way out looks forged. That is the other way to fail, exercise "
        f"1.4's. Here D shall be deceived. {sensible}",
    )
    return f"Collapsed: in twelve games {coverage:.0%} of the real points covered, no more."


@checker("1.3")
def cure(settings: dict) -> str:
    """Settings with ten turns of G a round that nevertheless reach all three blobs."""
    _is_dict(settings)
    require(settings.get("steps_g") == 10, "G keeps its ten turns a round: steps_g=10 has to stay.")
    coverage, quality, _ = _play(settings, games=8, looks=(400,)).mean((0, 1)).tolist()
    require(
        coverage >= 0.8,
        f"Eight games end with {coverage:.0%} of the real points covered; 80 % is wanted. "
        + _why_uncured(settings),
    )
    require(
        quality >= 0.8,
        f"All three blobs are reached, but {quality:.0%} of the forgeries pass; 80 % is wanted. "
        + _why_uncured(settings),
    )
    return f"Cured: {coverage:.0%} of the real points covered, {quality:.0%} of the forgeries pass."


def _why_uncured(settings: dict) -> str:
    """What is wrong with the turns: all of G's together should go a third as far as D's."""
    rates = toy.DEFAULT_RATES.get(settings.get("optimiser", "Adam"), toy.DEFAULT_RATES["Adam"])
    lr_d, lr_g = settings.get("lr_d") or rates[0], settings.get("lr_g") or rates[1]
    share = 10 * lr_g / (lr_d * settings.get("steps_d", 1))
    sensible = (
        "Sensible is a G whose turns go together a third as far as D's, as in the balance: an lr_g "
        "of a thirtieth of lr_d, with an lr_d of 3e-3 to 1e-2."
    )
    if share > 0.5:
        return f"G's ten turns still go too far beside D's. {sensible}"
    if share < 0.2:
        return f"G's turns have become too short beside D's, which is too strong now. {sensible}"
    return f"Their ratio is right, their size is not. {sensible}"


@checker("1.4")
def balance_restored(strong: dict, cured: dict) -> str:
    """D too strong by its learning rate alone; then cured without touching D."""
    _is_dict(strong, " as `strong`")
    _is_dict(cured, " as `cured`")
    require(set(strong) == {"lr_d"}, "`strong` changes one thing: lr_d.")
    coverage, _, accuracy = _play(strong, games=16, looks=(300,)).mean((0, 1)).tolist()
    d = _times_usual(strong, "lr_d")
    why = (
        "Such a D learns too slowly: it is not strong, and G has nobody to learn from."
        if d < 0.9
        else "Sensible is an lr_d of 1e-2 to 2e-2: ten or more times G's, which is 1e-3, so that D "
        "has learnt every forgery by heart before G has moved on, and not so much that it trips "
        "over its own steps."
    )
    require(
        accuracy >= 0.7 and coverage <= 0.65,
        f"D is right in {accuracy:.0%} of its judgements and G covers {coverage:.0%} of the real "
        "points; a D that is too strong is right in 70 % or more, and leaves G 65 % or less. "
        f"{why}",
    )
    require(
        cured.get("lr_d") == strong["lr_d"],
        "D keeps its learning rate in `cured`; change G or the rules.",
    )
    require(cured.get("steps_d", 1) == 1, "D keeps its one turn in `cured`; change G or the rules.")
    require(cured != strong, "`cured` is `strong` over again: give G, too, a rate or turns.")
    covered = _play(cured, games=16, looks=(300,))[..., 0].mean().item()
    require(
        covered >= 0.7,
        f"With `cured` the forgeries cover {covered:.0%} of the real points; 70 % is wanted. "
        + _why_not_cured(strong["lr_d"], cured),
    )
    return (
        f"D as strong as before, and yet {covered:.0%} covered where it was {coverage:.0%}: what "
        "counts is the balance."
    )


def _why_not_cured(lr_d: float, cured: dict) -> str:
    """What is wrong with G's rate beside D's. In the balance it is about a third of it."""
    if set(cured) - {"lr_d", "lr_g"}:
        return "G must keep up with D, and not run ahead of it."
    share = (cured.get("lr_g") or toy.DEFAULT_RATES["Adam"][1]) / lr_d
    sensible = f"sensible is a quarter to two fifths of D's, {lr_d / 4:.1e} to {lr_d / 2.5:.1e}"
    if share < 0.25:
        return f"G is still too slow for this D: {sensible}."
    if share > 0.4:
        return f"G has overtaken D: {sensible}."
    return (
        f"The ratio is sensible, {share:.2f}, but with an lr_d of {lr_d:g} both stumble over their "
        "own steps: make `strong` a little less strong, 1e-2 to 2e-2."
    )
