"""Lesson 1's exercises: the loss of two players, and games that go wrong."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from course_lib import toy
from course_lib.exercises.frame import call, checker, kind, require


def _games(settings: Any, rounds: int, seeds: int, moments: int = 1) -> list[list[tuple]]:
    """Play `seeds` games for three blobs; a game is a list of (coverage, quality, D's accuracy)."""
    strange = set(settings) - {"loss", "optimiser", "lr_d", "lr_g", "steps_d", "steps_g"}
    require(not strange, f"These are no settings of this game: {', '.join(sorted(strange))}.")
    games = []
    for seed in range(seeds):
        gan, game = toy.ToyGAN("three blobs", seed=seed, **settings), []
        for moment in range(moments):
            gan.step(rounds - 50 * (moments - 1) if moment == 0 else 50)
            measured = toy.measure(gan)
            game.append((measured.coverage, measured.quality, toy.accuracy(gan)))
        games.append(game)
    return games


def _mean(games: list[list[tuple]], what: int) -> float:
    return sum(game[-1][what] for game in games) / len(games)


@checker("1.1")
def discriminator_loss(loss: Callable) -> str:
    """`loss(real_scores, fake_scores)`: mean of -log D(x) plus mean of -log(1 - D(G(z)))."""
    real, fake = torch.randn(64) + 1, torch.randn(64) - 2
    answer = call(loss, real, fake)
    require(
        isinstance(answer, torch.Tensor) and answer.ndim == 0,
        "Return one number, a tensor without dimensions: the mean over the points.",
    )
    on_real, on_fake = F.softplus(-real).mean(), F.softplus(fake).mean()

    def close(value: torch.Tensor) -> bool:
        return torch.allclose(answer, value, rtol=1e-3, atol=1e-4)

    require(not close(on_real), "That is the half about real points. What of the forgeries?")
    require(not close(on_fake), "That is the half about forgeries. What of the real points?")
    require(
        not close(F.softplus(real).mean() + F.softplus(-fake).mean()),
        "This D is rewarded for calling real points forged and forgeries real: swap the signs.",
    )
    require(
        not close(-on_real - on_fake),
        "A loss falls when D does well; yours rises. The logarithms want a minus sign.",
    )
    require(
        not close((on_real + on_fake) / 2),
        "Half of it: the paper adds the two means, it does not average them.",
    )
    require(
        close(on_real + on_fake),
        f"For the test's scores the loss is {(on_real + on_fake).item():.4f}, yours is "
        f"{answer.item():.4f}.",
    )
    for score, where in (
        (200.0, "forgeries with a score of 200, where 1 - sigmoid"),
        (-200.0, "real points with a score of -200, where sigmoid"),
    ):
        sure = call(loss, torch.full((4,), score), torch.full((4,), score))
        require(
            bool(sure.isfinite()),
            f"Right for modest scores, but infinite for {where} rounds to 0: use F.softplus.",
        )
    return "That is Goodfellow's loss, and it stays finite for every score."


@checker("1.2")
def collapse(settings: dict) -> str:
    """Settings with one turn each a round whose G crowds into one spot in three games of three."""
    require(isinstance(settings, dict), f"Give a dict of settings, not {kind(settings)}.")
    require(
        settings.get("steps_d", 1) == settings.get("steps_g", 1) == 1,
        "Each player keeps one turn a round; change how far a turn goes.",
    )
    games = _games(settings, rounds=400, seeds=3, moments=3)
    widest = max(coverage for game in games for coverage, _, _ in game)
    require(
        widest < 0.5,
        f"In one of three games the forgeries cover {widest:.0%} of the real points: no collapse. "
        "G must get so far ahead that D's map is always out of date.",
    )
    best = min(max(quality for _, quality, _ in game) for game in games)
    require(
        best > 0.3,
        "Your forgeries are hardly ever where real points are. A collapsed G forges well, but only "
        "one thing; this G's turns are too long to land, or too short to arrive.",
    )
    return f"Collapsed in three games of three: never more than {widest:.0%} covered."


@checker("1.3")
def cure(settings: dict) -> str:
    """Settings with ten turns of G a round that nevertheless reach all three blobs."""
    require(
        isinstance(settings, dict) and settings.get("steps_g") == 10,
        "G keeps its ten turns a round: steps_g=10 has to stay.",
    )
    games = _games(settings, rounds=400, seeds=3)
    coverage, quality = _mean(games, 0), _mean(games, 1)
    require(
        coverage >= 0.8,
        f"Three games end with {coverage:.0%} of the real points covered; 80 % is wanted. "
        "Ten turns may be short ones, and D may learn faster.",
    )
    require(
        quality >= 0.8,
        f"All three blobs are reached, but {quality:.0%} of the forgeries pass; 80 % is wanted.",
    )
    return f"Cured: {coverage:.0%} of the real points covered, {quality:.0%} of the forgeries pass."


@checker("1.4")
def balance_restored(strong: dict, cured: dict) -> str:
    """D too strong by its learning rate alone; then cured without touching D."""
    require(
        isinstance(strong, dict) and set(strong) == {"lr_d"},
        "`strong` changes one thing: lr_d.",
    )
    games = _games(strong, rounds=300, seeds=4)
    accuracy, coverage = _mean(games, 2), _mean(games, 0)
    require(
        accuracy >= 0.7 and coverage <= 0.65,
        f"D is right in {accuracy:.0%} of its judgements and G covers {coverage:.0%} of the real "
        "points; a D that is too strong is right in 70 % or more, and leaves G 65 % or less.",
    )
    require(
        isinstance(cured, dict) and cured.get("lr_d") == strong["lr_d"],
        "D keeps its learning rate in `cured`; change G or the rules.",
    )
    require(cured.get("steps_d", 1) == 1, "D keeps its one turn in `cured`; change G or the rules.")
    covered = _mean(_games(cured, rounds=300, seeds=4), 0)
    require(
        covered >= 0.8,
        f"With `cured` the forgeries cover {covered:.0%} of the real points; 80 % is wanted.",
    )
    return (
        f"D as strong as before, and yet {covered:.0%} covered where it was {coverage:.0%}: what "
        "counts is the balance."
    )
