"""Lesson 3's exercises: the two steps of the training, the average, a walk through the noise."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.exercises.frame import call, checker, kind, require, run


def _small_networks() -> tuple[nn.Module, nn.Module]:
    """A forger and an appraiser of 2-pixel pictures: linear, so that everything can be followed."""
    torch.manual_seed(0)
    generator = nn.Linear(3, 2)
    discriminator = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid(), nn.Flatten(0))
    return generator, discriminator


def _weights(network: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach()


@checker("3.1")
def discriminator_step(step: Callable) -> str:
    """`step(D, optimiser, real, fakes)`: the article's first half, D's own step."""

    def learnt(on_real: float | None, on_fakes: float | None) -> torch.Tensor:
        """D's weights after one step of SGD with these labels; None: it never saw them."""
        network = _small_networks()[1]
        for images, label in ((real, on_real), (fakes.detach(), on_fakes)):
            if label is not None:
                verdict = network(images)
                F.binary_cross_entropy(verdict, torch.full_like(verdict, label)).backward()
        torch.optim.SGD(network.parameters(), 0.5).step()
        return _weights(network)

    generator, discriminator = _small_networks()
    real = torch.randn(16, 2) + 2
    fakes = generator(torch.randn(16, 3))
    optimiser = torch.optim.SGD(discriminator.parameters(), 0.5)
    before = _weights(discriminator)
    for parameter in discriminator.parameters():  # left over from G's last step
        parameter.grad = torch.ones_like(parameter)
    loss = run(step, discriminator, optimiser, real, fakes)
    after = _weights(discriminator)

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
    F.binary_cross_entropy(verdict, torch.ones_like(verdict)).backward()
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
def moving_average(update: Callable) -> str:
    """`update(average, weights, decay)`: one step of an exponential moving average of tensors."""
    average, weights = torch.randn(4), torch.randn(4)
    kept = average.clone(), weights.clone()
    answer = call(update, average, weights, 0.9)
    require(isinstance(answer, torch.Tensor), f"Return the new average, not {kind(answer)}.")
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
def walk(path: Callable) -> str:
    """`walk(start, end, steps)`: noises on the way from one to the other, none too short."""
    start, end = torch.randn(2, 100)
    noises = call(path, start, end, 9)
    require(
        isinstance(noises, torch.Tensor) and noises.shape == (9, 100),
        "walk(start, end, 9) should be a tensor of 9 noises of 100 numbers, (9, 100); yours is "
        f"{tuple(noises.shape) if isinstance(noises, torch.Tensor) else kind(noises)}.",
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
