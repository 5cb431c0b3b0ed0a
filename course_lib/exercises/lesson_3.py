"""Lesson 3's exercises: both steps of the training, four patients, the average, a walk."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import failures
from course_lib.exercises.frame import call, checker, kind, number, require, run

RATE = 0.5  # of the optimisers below
BCE = F.binary_cross_entropy


class _Diary(torch.optim.SGD):
    """SGD of one network that notes what is done: "clear", "backward", "step".

    The verdict is the network's weights; the diary only says what went wrong.
    """

    def __init__(self, network: nn.Module):
        super().__init__(network.parameters(), RATE)
        self.did: list[str] = []
        next(network.parameters()).register_hook(lambda _: self.did.append("backward"))

    def zero_grad(self, *arguments: Any, **named: Any) -> None:
        self.did.append("clear")
        super().zero_grad(*arguments, **named)

    def step(self, *arguments: Any, **named: Any) -> Any:
        self.did.append("step")
        return super().step(*arguments, **named)

    def why_nothing_moved(self, who: str) -> str:
        """What is wrong with a turn after which the weights are those before."""
        if "backward" not in self.did:
            return f"No gradient reaches {who}: loss.backward() is missing."
        if "step" not in self.did:
            return f"{who} has a gradient but did not move: call optimiser.step() at the end."
        last = len(self.did) - 1 - self.did[::-1].index("backward")
        if "step" not in self.did[last:]:
            return f"optimiser.step() stands before backward(), when {who} has no gradient yet."
        return (
            "optimiser.zero_grad() stands between backward() and step(): it wipes out what "
            "backward() has just found. It comes before."
        )


def _small_networks() -> tuple[nn.Module, nn.Module]:
    """A forger and an appraiser of 2-pixel pictures: linear, so that everything can be followed."""
    torch.manual_seed(0)
    generator = nn.Linear(3, 2)
    discriminator = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid(), nn.Flatten(0))
    return generator, discriminator


def _weights(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def _leave_gradients(*networks: nn.Module) -> None:
    """A gradient of 1 everywhere, left over from the other player's turn."""
    for network in networks:
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)


def _is_loss(loss: Any, right: Tensor, mistakes: dict[str, Tensor], what: str) -> None:
    """Require the loss that was to be returned: a tensor, or a number."""
    require(loss is not None, f"{what}: you return nothing.")
    require(not isinstance(loss, tuple | list), f"{what}: you return {kind(loss)}.")
    value = number(loss)
    for why, mistaken in mistakes.items():
        require(abs(value - mistaken.item()) > 1e-4, f"{what}: {why}")
    require(
        abs(value - right.item()) < 1e-4,
        f"{what}: for the test's pictures it is {right.item():.4f}, you return {value:.4f}.",
    )


@checker("3.1")
def discriminator_step(step: Callable) -> str:
    """`step(D, optimiser, real, fakes)`: the article's first half, D's own step."""
    generator, discriminator = _small_networks()
    real = torch.randn(16, 2) + 2
    fakes = generator(torch.randn(16, 3))

    def losses(network: nn.Module, real_label: float, fake_label: float) -> tuple[Tensor, Tensor]:
        on_real, on_fakes = network(real), network(fakes.detach())
        return (
            BCE(on_real, torch.full_like(on_real, real_label)),
            BCE(on_fakes, torch.full_like(on_fakes, fake_label)),
        )

    def learnt(real_label: float, fake_label: float, parts: tuple = (1, 1)) -> Tensor:
        """D's weights after one step of SGD with these labels."""
        network = _small_networks()[1]
        on_real, on_fakes = losses(network, real_label, fake_label)
        (parts[0] * on_real + parts[1] * on_fakes).backward()
        torch.optim.SGD(network.parameters(), RATE).step()
        return _weights(network)

    optimiser, before = _Diary(discriminator), _weights(discriminator)
    on_real, on_fakes = losses(_small_networks()[1], 1.0, 0.0)
    _leave_gradients(discriminator)
    loss = run(step, discriminator, optimiser, real, fakes)
    require(
        all(parameter.grad is None for parameter in generator.parameters()),
        "Your D step sent a gradient back into G: work for nothing, and it lies there when G's own "
        "turn comes. D should look at fakes.detach().",
    )
    after = _weights(discriminator)
    _has_learnt_both(after, before, learnt, optimiser)
    _is_loss(
        loss,
        on_real + on_fakes,
        {
            "half of it. Add the two losses, do not average them.": (on_real + on_fakes) / 2,
            "you return the loss on the real ones alone.": on_real,
            "you return the loss on the fakes alone.": on_fakes,
            "you return the loss after the step; return what D stepped down from.": sum(
                losses(discriminator, 1.0, 0.0)
            ),
        },
        "D has learnt the right thing; now return the loss of both, a tensor with one number",
    )
    return "Both batches, gradients added, one step, and nothing leaked into G."


def _has_learnt_both(after: Tensor, before: Tensor, learnt: Callable, optimiser: _Diary) -> None:
    """Require D's weights after one step on both batches; say which mistake they look like."""
    right = learnt(1.0, 0.0)
    ones = RATE * torch.ones_like(before)
    require(
        not torch.allclose(after, before, atol=1e-5),
        optimiser.why_nothing_moved("D"),
    )
    require(
        not torch.allclose(after, before - ones, atol=1e-5),
        "D moved by what was left over from G's step alone: backward() comes before step().",
    )
    for mistaken, why in (
        (learnt(0.0, 1.0), "The labels are the wrong way round: real is 1, fake 0."),
        (learnt(1.0, 1.0), "You called the fakes real as well; their label is 0."),
        (learnt(0.0, 0.0), "You called the real ones fake as well; their label is 1."),
        (learnt(1.0, 0.0, (1, 0)), "D has learnt from the real ones only."),
        (learnt(1.0, 0.0, (0, 1)), "D has learnt from the fakes only."),
        (
            right - ones,
            "A gradient of 1 was left over from G's step, and you added yours to it: begin with "
            "optimiser.zero_grad().",
        ),
        (
            (before + right) / 2,
            "Your gradient is half as large: the two losses are added, not averaged.",
        ),
        (
            learnt(1.0, 0.0, (-1, -1)),
            "D goes uphill: the loss has the wrong sign.",
        ),
        (
            learnt(0.9, 0.0),
            "Your label for the real ones is 0.9, not 1: that is another recipe, label smoothing.",
        ),
    ):
        require(not torch.allclose(after, mistaken, atol=1e-5), why)
    steps = optimiser.did.count("step")
    require(
        steps < 2 or torch.allclose(after, right, atol=1e-5),
        f"You call optimiser.step() {steps} times. Both gradients are collected first, then D "
        "makes one step.",
    )
    require(
        torch.allclose(after, right, atol=1e-5),
        "D's weights are not those after one step down the gradient of both losses together.",
    )


@checker("3.2")
def generator_step(step: Callable) -> str:
    """`step(D, optimiser, fakes)`: the repaired second half, G's step."""
    generator, discriminator = _small_networks()
    noise = torch.randn(16, 3)
    optimiser, before = _Diary(generator), _weights(generator)
    belief = discriminator(generator(noise))
    judged, right = belief.mean().item(), BCE(belief, torch.ones_like(belief)).detach()
    d_before = _weights(discriminator)
    shown: list[bool] = []  # whether what D judges still hangs on G
    discriminator.register_forward_pre_hook(lambda _, seen: shown.append(seen[0].requires_grad))
    _leave_gradients(generator, discriminator)
    loss = run(step, discriminator, optimiser, generator(noise))
    require(bool(shown), "D was never asked: its verdict on the fakes is what G learns from.")
    require(
        any(shown),
        "No gradient reaches G. Something cuts the thread between D's verdict and G's weights: "
        "`detach` belongs into D's step only.",
    )
    after = _weights(generator)
    require(not torch.allclose(after, before, atol=1e-6), optimiser.why_nothing_moved("G"))
    require(
        torch.equal(_weights(discriminator), d_before),
        "D has changed, too. It is G's turn: only G's optimiser steps.",
    )
    _has_learnt_to_forge(after, before, noise, optimiser)
    again = discriminator(generator(noise)).mean().item()
    _is_loss(
        loss,
        right,
        {"half of it.": right / 2, "it has the wrong sign.": -right},
        "G has learnt the right thing; now return the loss, a tensor with one number",
    )
    return (
        f"D's belief in the same fakes rises from {judged:.3f} to {again:.3f}: G is a forger again."
    )


def _has_learnt_to_forge(after: Tensor, before: Tensor, noise: Tensor, optimiser: _Diary) -> None:
    """Require G's weights after one step of BCE with label 1; say which mistake they look like."""

    def slope(label: float, sign: float = 1.0) -> Tensor:
        generator, discriminator = _small_networks()
        belief = discriminator(generator(noise))
        (sign * BCE(belief, torch.full_like(belief, label))).backward()
        return nn.utils.parameters_to_vector(p.grad for p in generator.parameters())

    right, ones = slope(1.0), torch.ones_like(before)
    steps = optimiser.did.count("step")
    for gradient, why in (
        (
            slope(0.0),
            "After your step D believes in the fakes less: G is learning to be found out. Which "
            "label does it want D to give?",
        ),
        (-right, "G goes uphill: the loss has the wrong sign."),
        (
            slope(0.0, -1.0),
            "That is the minimax loss, log(1 - D): right, but hardly a slope while D is sure. The "
            "friend's is BCE, with the label that G wants.",
        ),
        (
            ones,
            "G moved by what was left over from before: optimiser.step() stands before backward().",
        ),
        (
            right + ones,
            "A gradient of 1 was left over in G, and you added yours to it: call "
            "optimiser.zero_grad() before backward().",
        ),
        (
            slope(0.0) + ones,
            "A gradient of 1 was left over in G, and you added yours to it: call "
            "optimiser.zero_grad() before backward(). And which label does G want D to give?",
        ),
        *(
            (
                steps * right,
                f"You call optimiser.step() {steps} times: G goes {steps} times as far as its "
                "learning rate allows.",
            )
            for _ in range(steps > 1)
        ),
        (right / 2, "Your gradient is half as large: G's loss is the whole BCE with label 1."),
        (16 * right, "You add up the fakes' losses; take their mean, as BCE does."),
    ):
        require(not torch.allclose(after, before - RATE * gradient, atol=1e-5), why)
    require(
        torch.allclose(after, before - RATE * right, atol=1e-5),
        "G does not move as by one step of SGD on BCE with label 1: its gradient is not that of "
        "BCE with label 1"
        + (f", and you call optimiser.step() {steps} times." if steps > 1 else "."),
    )


@checker("3.3")
def diagnosis(answers: Any) -> str:
    """`{"A": "healthy", …}`: what each of `failures.patients()` suffers from."""
    require(
        isinstance(answers, dict),
        f"Give a dict from letter to diagnosis, such as {{'A': 'healthy'}}, not {kind(answers)}.",
    )
    records = failures.patients()
    for letter in records:
        require(letter in answers, f"Patient {letter} is still waiting for a diagnosis.")
        said = answers[letter]
        require(
            said in failures.CASES,
            f"{letter}: {said!r} is not in the book. Known: {', '.join(failures.CASES)}.",
        )
    for letter, record in records.items():
        truth, said = failures.PATIENTS[letter], answers[letter]
        seen = {name: _last(record.curves[name]) for name in record.curves}
        low, high = _range(record.curves["loss_G"])
        words = _MISTAKEN.get((truth, said), "").format(**_spoken(seen), low=low, high=high)
        require(truth == said, f"{letter}, {said}? {words}")
    return "All four. The collapse had the calmest losses: they did not give it away."


# (what it is, what was said) → what speaks against it
_MISTAKEN = {
    ("healthy", "mode collapse"): "Its fakes vary {variety} as much as faces do.",
    ("healthy", "D wins"): "D believes {real} in faces and {fake} in fakes: ahead, no more.",
    ("healthy", "oscillation"): "G's loss wavers, but in the second half from {low:.1f} to "
    "{high:.1f} only: single batches differ.",
    ("mode collapse", "healthy"): "Losses and beliefs are calm, but its fakes vary only {variety} "
    "as much as faces do: it paints nearly one picture.",
    ("mode collapse", "D wins"): "D believes {real} in faces and {fake} in fakes: a coin, and no "
    "winner. Look further to the right.",
    ("mode collapse", "oscillation"): "Its losses hardly move: G's goes from {low:.2f} to "
    "{high:.2f} in the second half. Look further to the right.",
    ("D wins", "healthy"): "Level curves, but level at what? D believes {real} in faces and {fake} "
    "in fakes.",
    ("D wins", "mode collapse"): "The variety is low, but it was so from the first step: G never "
    "began. D believes {real} in faces and {fake} in fakes.",
    ("D wins", "oscillation"): "Nothing swings after the start: G's loss goes from {low:.2f} to "
    "{high:.2f} in the second half.",
    ("oscillation", "healthy"): "G's loss goes from {low:.1f} to {high:.1f} in the second half.",
    ("oscillation", "mode collapse"): "A collapse can be calm, this is not: G's loss goes from "
    "{low:.1f} to {high:.1f} in the second half.",
    ("oscillation", "D wins"): "D is ahead, but G is not starved: its gradient is {gradient:.0f} "
    "long, where a healthy one's is about 1. It is pushed too hard, now here, now there.",
}


def _last(values: list[float]) -> float:
    """The mean of a curve's last tenth."""
    end = values[-max(1, len(values) // 10) :]
    return sum(end) / len(end)


def _range(values: list[float]) -> tuple[float, float]:
    """The lowest and the highest point of a curve's second half."""
    half = values[len(values) // 2 :]
    return min(half), max(half)


def _spoken(seen: dict[str, float]) -> dict[str, Any]:
    return {
        "variety": f"{seen['variety']:.0%}",
        "gradient": seen["gradient"],
        "real": f"{seen['D(x)']:.2f}",
        "fake": f"{seen['D(G(z))']:.2f}",
    }


@checker("3.4")
def moving_average(update: Callable) -> str:
    """`update(average, weights, decay)`: one step of an exponential moving average of tensors."""
    average, weights = torch.randn(3, 4), torch.randn(3, 4)
    answers = [_one_average(update, average, weights, decay) for decay in (0.9, 0.75)]
    for mistaken, why in (
        (lambda decay: average, "Your average never moves: it takes nothing of the weights."),
        (lambda decay: weights, "Your average keeps nothing of itself: it is the new weights."),
        (
            lambda decay: (1 - decay) * average + decay * weights,
            "With decay 0.9 the average should keep 0.9 of itself; yours keeps 0.1.",
        ),
        (
            lambda decay: 0.9 * average + 0.1 * weights,
            "With decay 0.75, too, yours keeps 0.9 of itself: it ignores `decay`.",
        ),
        (
            lambda decay: 0.998 * average + 0.002 * weights,
            "Yours keeps 0.998 of itself whatever `decay` says: use what was given.",
        ),
        (
            lambda decay: (average + weights) / 2,
            "You take the mean of both: it ignores `decay`.",
        ),
        (
            lambda decay: decay * average + weights,
            "The parts are more than a whole: the weights count 1 − decay.",
        ),
        (lambda decay: average + (1 - decay) * weights, "The average, too, must give way: decay."),
    ):
        both = zip(answers, (0.9, 0.75), strict=True)
        require(not all(torch.allclose(one, mistaken(d), atol=1e-5) for one, d in both), why)
    for one, decay in zip(answers, (0.9, 0.75), strict=True):
        require(
            torch.allclose(one, decay * average + (1 - decay) * weights, atol=1e-5),
            "Not decay · average + (1 − decay) · weights.",
        )
    steps = _half_life(update)
    return f"Right. With decay 0.998 it takes {steps} steps to forget half of what it knew."


def _one_average(update: Callable, average: Tensor, weights: Tensor, decay: float) -> Tensor:
    """The student's new average, of copies; the average may be changed in place."""
    copy, given = average.clone(), weights.clone()
    answer = run(update, copy, given, decay)
    require(
        torch.equal(given, weights),
        "Your function changed the weights of G; only the copy moves.",
    )
    require(
        answer is not None or torch.equal(copy, average),
        "You change the average in place, which may be; now return it.",
    )
    answer = call(lambda: answer)  # None: it waits for its code
    require(isinstance(answer, Tensor), f"Return the new average, not {kind(answer)}.")
    require(
        answer.shape == average.shape,
        f"The average of tensors {tuple(average.shape)} is one, too; yours is "
        f"{tuple(answer.shape)}.",
    )
    return answer.detach()


def _half_life(update: Callable) -> int:
    """After how many steps half is forgotten. It counts them itself: an average may stand still."""
    value, steps = torch.ones(1), 0
    while value > 0.5 and steps < 400:
        value, steps = call(update, value, torch.zeros(1), 0.998), steps + 1
    wrong = "Do you round `decay`, or treat a large one differently?"
    require(
        bool(value <= 0.5),
        f"With decay 0.998 yours has not forgotten half after {steps} steps, and may never: "
        f"{value.item():.3f} is left. {wrong}",
    )
    require(
        steps == 347,
        f"With decay 0.998 yours has forgotten half after {steps} steps; it should be 347. {wrong}",
    )
    return steps


@checker("3.5")
def walk(path: Callable) -> str:
    """`walk(start, end, steps)`: noises on the way from one to the other, none too short."""
    start, end = torch.randn(2, 100)
    noises = call(path, start, end, 9)
    require(
        isinstance(noises, torch.Tensor) and noises.shape == (9, 100),
        "walk(start, end, 9) should be a tensor of 9 noises of 100 numbers, (9, 100); yours is "
        f"{tuple(noises.shape) if isinstance(noises, torch.Tensor) else kind(noises)}"
        + (": torch.stack makes one of a list." if isinstance(noises, list | tuple) else "."),
    )
    require(
        bool(noises.isfinite().all()),
        "Your walk has NaN in it. The cosine of the angle is the dot product *over both lengths*; "
        "torch.acos knows no number beyond 1.",
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
    angle = torch.acos(F.cosine_similarity(start, end, dim=0))
    shortest_way = angle * max(start.norm(), end.norm())
    require(
        strides.sum() < 1.05 * shortest_way,
        f"Your walk is {strides.sum():.0f} long, where {shortest_way:.0f} would do: a detour.",
    )
    few = call(path, start, end, 4)
    require(
        few.shape == (4, 100),
        f"walk(start, end, 4) has the shape {tuple(few.shape)}, not (4, 100): use `steps`.",
    )
    return f"{len(noises)} noises, all about {ends:.0f} long, in even strides."
