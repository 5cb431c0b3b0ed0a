"""Checkers for the exercises. What they say about a wrong answer is meant to teach.

A lesson writes `from course_lib import exercises as check` and ends each exercise with
`check.<what>(answer)`. The verdict is the cell's output; a wrong answer never raises, so that
"Run all cells" goes on past an exercise that is still empty.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import toy


@dataclass(frozen=True)
class Verdict:
    """What a checker found: passed, failed, or (None) not tried yet."""

    passed: bool | None
    message: str

    def __repr__(self) -> str:
        sign = {True: "✓", False: "✗", None: "○"}[self.passed]
        return f"{sign} {self.message}"


class _WrongError(Exception):
    """Raised inside a checker: the answer is wrong, and this message says how."""


class _MissingError(Exception):
    """Raised inside a checker: the student's function has no body yet."""


def require(condition: bool, message: str) -> None:
    """Go on with the check if `condition` holds; otherwise the verdict is ✗ with this message."""
    if not condition:
        raise _WrongError(message)


def call(answer: Callable, *arguments: Any, **options: Any) -> Any:
    """What the student's function returns. One that returns nothing still waits for its code."""
    require(callable(answer), f"Give the function itself, not {type(answer).__name__}.")
    result = answer(*arguments, **options)
    if _missing(result):
        raise _MissingError
    return result


def run(answer: Callable, *arguments: Any) -> Any:
    """As `call`, for a function that does something: one that forgot its `return` is examined."""
    require(callable(answer), f"Give the function itself, not {type(answer).__name__}.")
    result = answer(*arguments)
    if result is ...:
        raise _MissingError
    return result


def checker(exercise: str) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Turn a function that `require`s things and returns praise into a checker.

    `exercise` is its number, such as "2.2". Answers that are `...` or None are waiting, and so is a
    function, run by `call`, that returns one of them. An exception in the student's code becomes ✗.
    """

    def decorate(examine: Callable[..., str]) -> Callable[..., Verdict]:
        @functools.wraps(examine)
        def check(*answers: Any, **named: Any) -> Verdict:
            waiting = Verdict(None, f"Exercise {exercise} is waiting for your code.")
            if any(_missing(answer) for answer in (*answers, *named.values())):
                return waiting
            try:
                return Verdict(True, examine(*answers, **named))
            except _MissingError:
                return waiting
            except _WrongError as reason:
                return Verdict(False, str(reason))
            except Exception as error:
                return Verdict(False, f"Your code stopped with {type(error).__name__}: {error}")

        return check

    return decorate


def _missing(answer: Any) -> bool:
    if isinstance(answer, tuple | list):
        return any(_missing(part) for part in answer)
    return answer is None or answer is ...


# --- Lesson 1 --------------------------------------------------------------------------------


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
@torch.random.fork_rng(devices=())
def discriminator_loss(loss: Callable) -> str:
    """`loss(real_scores, fake_scores)`: mean of -log D(x) plus mean of -log(1 - D(G(z)))."""
    torch.manual_seed(0)
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
    require(isinstance(settings, dict), f"Give a dict of settings, not {_kind(settings)}.")
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


# --- Lesson 2 --------------------------------------------------------------------------------


@checker("2.1")
@torch.random.fork_rng(devices=())
def output_side(side_after: Callable[..., int]) -> str:
    """`side_after(side, kernel, stride, padding, transposed)` against PyTorch's own layers."""
    cases = [(64, 4, 2, 1), (4, 4, 1, 0), (8, 3, 1, 1), (5, 3, 2, 0), (9, 4, 2, 1), (7, 5, 3, 2)]
    for transposed, layer in ((False, nn.Conv2d), (True, nn.ConvTranspose2d)):
        for side, kernel, stride, padding in cases:
            answer = call(side_after, side, kernel, stride, padding, transposed)
            true = layer(1, 1, kernel, stride, padding)(torch.zeros(1, 1, side, side)).shape[-1]
            asked = f"side_after({side}, {kernel}, {stride}, {padding}, transposed={transposed})"
            lost = (side + 2 * padding - kernel) % stride
            hint = ""
            if not transposed and lost and true < float(answer) <= true + 1:
                over = "one pixel is" if lost == 1 else f"{lost} pixels are"
                hint = (
                    " A kernel that would stand over the edge is left out, and here "
                    f"{over} left over: round down, with //."
                )
            elif not transposed and answer == true - 1:
                hint = " The first place of the kernel counts too: + 1."
            elif transposed and answer == true + 2 * padding:
                hint = f" The padding cuts {padding} off on either side."
            elif transposed and answer == true + stride - kernel:
                hint = f" The last stamp is {kernel} wide, not {stride}."
            elif transposed and answer == (side + 2 * padding - kernel) // stride + 1:
                hint = " That is the ordinary convolution: turn it around."
            require(
                answer == true,
                f"{asked} gives {answer}; PyTorch's {layer.__name__} makes {true} pixels.{hint}",
            )
    return f"Right for all {2 * len(cases)} layers that were tried, six of each kind."


@checker("2.2")
@torch.random.fork_rng(devices=())
def deeper_generator(deeper: Callable[[int], nn.Module]) -> str:
    """`deeper(width)`: a generator of 128×128 images, for any width."""
    torch.manual_seed(0)
    generator = call(deeper, 16)
    require(
        isinstance(generator, nn.Module),
        f"deeper(16) gives {_kind(generator)}; it should give a network, an nn.Module.",
    )
    images = generator(torch.randn(8, 100, 1, 1))
    require(
        isinstance(images, torch.Tensor) and images.ndim == 4,
        "The network should turn noise (8, 100, 1, 1) into images (8, 3, 128, 128).",
    )
    batch, channels, side = images.shape[:3]
    doublings = torch.tensor(128 / side).log2().item()
    missing = {1: "one doubling is missing", -1: "one doubling too many"}.get(doublings, "")
    require(
        side == 128,
        f"Your picture is {side}×{images.shape[3]}, not 128×128{missing and ': ' + missing}.",
    )
    require(batch == 8, f"8 noises went in, {batch} pictures came out.")
    require(channels == 3, f"Your picture has {channels} channels; red, green and blue make 3.")
    low, high = images.min().item(), images.max().item()
    require(
        low >= -1 and high <= 1,
        f"Your pictures reach from {low:.2f} to {high:.2f}. Faces live in [-1, 1]: end in Tanh.",
    )
    require(
        images.std(dim=0).mean() > 1e-3,
        "Eight different noises give the same picture: the noise is lost on the way.",
    )
    wide = _parameters(call(deeper, 32)) / _parameters(generator)
    require(
        wide > 2,
        f"deeper(32) has {wide:.2f} times the parameters of deeper(16): it ignores the width.",
    )
    number, before = _parameters(call(deeper, 64)), 3_576_704  # those of dcgan.Generator()
    growth = number / before - 1
    require(
        growth < 0.1,
        f"128×128, but {number:,} parameters at width 64, {growth:+.1%}: your new doubling is not "
        "at the end. At the start, where the maps are many, it is dear; let it follow the `width` "
        "maps of 32×32.",
    )
    require(
        0.007 < growth < 0.01,
        f"128×128, but {number:,} parameters at width 64, {growth:+.1%}: a transposed convolution "
        "from `width` to `width // 2` maps, and one from there to the picture, make about +0.9%.",
    )
    return (
        f"128×128 in [-1, 1], and {number:,} parameters at width 64: "
        f"{growth:+.1%} against the generator of 64×64."
    )


@checker("2.3")
@torch.random.fork_rng(devices=())
def discriminator_block(block: Callable[[int, int], nn.Module]) -> str:
    """`block(inputs, outputs)`: one of the middle steps of the article's discriminator."""
    torch.manual_seed(0)
    network = call(block, 8, 16)
    require(
        isinstance(network, nn.Module),
        f"block(8, 16) gives {_kind(network)}; it should give a network, such as nn.Sequential.",
    )
    images = 5 + 3 * torch.randn(32, 8, 16, 16)
    maps = network(images)
    require(
        maps.shape == (32, 16, 8, 8),
        f"(32, 8, 16, 16) became {tuple(maps.shape)}; half the side, 16 maps: (32, 16, 8, 8).",
    )
    kernels = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    require(len(kernels) == 1, f"Your block has {len(kernels)} convolutions; one is enough.")
    require(
        kernels[0].kernel_size == (4, 4),
        f"The kernel is {kernels[0].kernel_size[0]}×{kernels[0].kernel_size[1]}; D's are 4×4.",
    )
    require(
        kernels[0].bias is None,
        "The convolution has a bias, 16 numbers too many: BatchNorm takes the mean away again, "
        "so it could learn nothing. Say bias=False.",
    )
    positive = maps[maps > 0]
    require(
        bool((maps < 0).any()),
        "Nothing negative comes out: that is a ReLU. A LeakyReLU lets a fifth of it through.",
    )
    normal = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    require(
        bool(normal) and 0.5 < positive.pow(2).mean().sqrt() < 2,
        "The maps are not normalised: BatchNorm2d is missing, or it does not stand between the "
        "convolution and the LeakyReLU.",
    )
    # Behind BatchNorm a map has mean 0: the sum of its negative part shows the slope.
    slope = (maps.clamp(max=0).sum() / -maps.clamp(min=0).sum()).item()
    why = ""
    if slope > 0.9 and any(isinstance(m, nn.LeakyReLU) for m in network.modules()):
        why = " BatchNorm stands behind the LeakyReLU; it comes before."
    elif slope > 0.9:
        why = " The LeakyReLU is missing; it comes last."
    require(
        abs(slope - 0.2) < 0.01,
        f"Below zero your block lets {slope:.2f} of the value through; the article's slope is 0.2."
        f"{why}",
    )
    return "One convolution, normalised, a slope of 0.20 below zero: this is D's middle block."


@checker("2.4")
@torch.random.fork_rng(devices=())
def variety(measure: Callable[[torch.Tensor], float]) -> str:
    """`variety(images)`: the standard deviation over the batch, averaged over everything else."""
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 8, 8) * 2 - 1
    same = float(call(measure, picture.expand(4, -1, -1, -1).clone()))
    require(
        abs(same) < 1e-6,
        f"Four copies of one picture get {same:.2f}, not 0: compare the pictures with each other "
        "(dim=0), not the pixels inside a picture.",
    )
    images = torch.rand(16, 3, 8, 8) * 2 - 1
    answer, true = float(call(measure, images)), images.std(dim=0).mean().item()
    require(
        abs(answer - true) < 0.03,
        f"Sixteen random pictures get {answer:.2f}; each value's standard deviation over the "
        f"batch, averaged, is {true:.2f}.",
    )
    twice = float(call(measure, images / 2))
    require(
        abs(twice - true / 2) < 0.02,
        f"Half the contrast should have half the variety, {true / 2:.2f}; you get {twice:.2f}.",
    )
    return f"0 for copies, {true:.2f} for random pictures: now use it on the generator."


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _kind(thing: Any) -> str:
    return f"an object of type {type(thing).__name__}"


# --- Lesson 3 --------------------------------------------------------------------------------


def _small_networks() -> tuple[nn.Module, nn.Module]:
    """A forger and an appraiser of 2-pixel pictures: linear, so that everything can be followed."""
    torch.manual_seed(0)
    generator = nn.Linear(3, 2)
    discriminator = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid(), nn.Flatten(0))
    return generator, discriminator


@checker("3.1")
@torch.random.fork_rng(devices=())
def discriminator_step(step: Callable) -> str:
    """`step(D, optimiser, real, fakes)`: the article's first half, D's own step."""

    def learnt(on_real: float | None, on_fakes: float | None) -> torch.Tensor:
        """D's weights after one step of SGD with these labels; None: it never saw them."""
        network = _small_networks()[1]
        for images, label in ((real, on_real), (fakes.detach(), on_fakes)):
            if label is not None:
                verdict = network(images)
                nn.functional.binary_cross_entropy(
                    verdict, torch.full_like(verdict, label)
                ).backward()
        torch.optim.SGD(network.parameters(), 0.5).step()
        return nn.utils.parameters_to_vector(network.parameters()).detach()

    generator, discriminator = _small_networks()
    real = torch.randn(16, 2) + 2
    fakes = generator(torch.randn(16, 3))
    optimiser = torch.optim.SGD(discriminator.parameters(), 0.5)
    before = nn.utils.parameters_to_vector(discriminator.parameters()).detach().clone()
    for parameter in discriminator.parameters():  # left over from G's last step
        parameter.grad = torch.ones_like(parameter)
    loss = run(step, discriminator, optimiser, real, fakes)
    after = nn.utils.parameters_to_vector(discriminator.parameters()).detach()

    def close(other: torch.Tensor) -> bool:
        return torch.allclose(after, other, atol=1e-5)

    require(
        all(parameter.grad is None for parameter in generator.parameters()),
        "Your D step sent a gradient back into G: work for nothing, and it lies there when G's own "
        "turn comes. D should look at fakes.detach().",
    )
    require(not close(before), "D is the same as before: call optimiser.step() at the end.")
    require(not close(learnt(0.0, 1.0)), "The labels are the wrong way round: real is 1, fake 0.")
    require(not close(learnt(1.0, 1.0)), "You called the fakes real as well; their label is 0.")
    require(not close(learnt(1.0, None)), "D has learnt from the real ones only.")
    require(not close(learnt(None, 0.0)), "D has learnt from the fakes only.")
    stale = learnt(1.0, 0.0) - 0.5 * torch.ones_like(before)
    require(
        not close(stale),
        "A gradient of 1 was left over from G's step, and you added yours to it: begin with "
        "optimiser.zero_grad().",
    )
    half = (before + learnt(1.0, 0.0)) / 2
    require(
        not close(half), "Your gradient is half as large: the two losses are added, not averaged."
    )
    require(
        close(learnt(1.0, 0.0)),
        "D's weights are not those after one step down the gradient of both losses together.",
    )
    require(
        isinstance(loss, torch.Tensor) and loss.ndim == 0 and loss > 0,
        "D has learnt the right thing; now return the loss of both, a tensor with one number.",
    )
    return "Both batches, gradients added, one step, and nothing leaked into G."


@checker("3.2")
@torch.random.fork_rng(devices=())
def generator_step(step: Callable) -> str:
    """`step(D, optimiser, fakes)`: the repaired second half, G's step."""
    generator, discriminator = _small_networks()
    noise = torch.randn(64, 3)
    optimiser = torch.optim.SGD(generator.parameters(), 0.5)
    judged = discriminator(generator(noise)).mean().item()
    loss = run(step, discriminator, optimiser, generator(noise))
    gradients = [parameter.grad for parameter in generator.parameters()]
    require(
        all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients),
        "No gradient reaches G. Something cuts the thread between D's verdict and G's weights: "
        "`detach` belongs into D's step only.",
    )
    again = discriminator(generator(noise)).mean().item()
    require(
        abs(again - judged) > 1e-6,
        "G has a gradient but did not move: optimiser.step() is missing.",
    )
    require(
        again > judged,
        f"After your step D believes in the fakes less: {judged:.3f} before, {again:.3f} after. G "
        "is learning to be found out: which label does it want D to give?",
    )
    true = _small_networks()[0]
    verdict = discriminator(true(noise))
    nn.functional.binary_cross_entropy(verdict, torch.ones_like(verdict)).backward()
    same = all(
        torch.allclose(p.grad, q.grad, atol=1e-5)
        for p, q in zip(generator.parameters(), true.parameters(), strict=True)
    )
    require(same, "G moves the right way, but its gradient is not that of BCE with label 1.")
    require(
        isinstance(loss, torch.Tensor) and loss.ndim == 0,
        "G has learnt the right thing; now return the loss, a tensor with one number.",
    )
    return (
        f"D's belief in the same fakes rises from {judged:.3f} to {again:.3f}: G is a forger again."
    )


@checker("3.3")
@torch.random.fork_rng(devices=())
def moving_average(update: Callable) -> str:
    """`update(average, weights, decay)`: one step of an exponential moving average of tensors."""
    torch.manual_seed(0)
    average, weights = torch.randn(4), torch.randn(4)
    kept = average.clone(), weights.clone()
    answer = call(update, average, weights, 0.9)
    require(isinstance(answer, torch.Tensor), f"Return the new average, not {_kind(answer)}.")
    require(
        torch.equal(weights, kept[1]),
        "Your function changed the weights of G; only the copy moves.",
    )
    require(
        not torch.allclose(answer, 0.1 * kept[0] + 0.9 * kept[1]),
        "With decay 0.9 the average should keep 0.9 of itself; yours keeps 0.1.",
    )
    require(
        torch.allclose(answer, 0.9 * kept[0] + 0.1 * kept[1]),
        "Not decay · average + (1 − decay) · weights.",
    )
    steps, value = 0, torch.ones(1)
    while value > 0.5:
        value, steps = update(value, torch.zeros(1), 0.998), steps + 1
    return f"Right. With decay 0.998 it takes {steps} steps to forget half of what it knew."


@checker("3.4")
@torch.random.fork_rng(devices=())
def walk(path: Callable) -> str:
    """`walk(start, end, steps)`: noises on the way from one to the other, none too short."""
    torch.manual_seed(0)
    start, end = torch.randn(2, 100)
    noises = call(path, start, end, 9)
    require(
        isinstance(noises, torch.Tensor) and noises.shape == (9, 100),
        "walk(start, end, 9) should be a tensor of 9 noises of 100 numbers, (9, 100); yours is "
        f"{tuple(noises.shape) if isinstance(noises, torch.Tensor) else _kind(noises)}.",
    )
    require(torch.allclose(noises[0], start, atol=1e-4), "Your walk does not begin at `start`.")
    require(torch.allclose(noises[-1], end, atol=1e-4), "Your walk does not arrive at `end`.")
    lengths = noises.norm(dim=1)
    shortest, ends = lengths.min().item(), min(start.norm(), end.norm()).item()
    require(
        shortest > 0.95 * ends,
        f"The ends are {ends:.1f} long, but half-way your noise has a length of {shortest:.1f}: G "
        "hardly ever met so short a noise. Walk on the sphere, not through it.",
    )
    strides = (noises[1:] - noises[:-1]).norm(dim=1)
    require(
        strides.max() < 1.3 * strides.min(),
        f"Your strides are uneven, from {strides.min():.1f} to {strides.max():.1f} long.",
    )
    return f"{len(noises)} noises, all about {ends:.0f} long, in even strides."
