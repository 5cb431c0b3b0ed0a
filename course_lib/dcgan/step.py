"""One step of the game: the article's, and one with a choice of loss, penalty and augmentation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.dcgan.players import NOISE_SIZE
from course_lib.errors import CourseError


def tutorial_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimiser: torch.optim.Optimizer,
    discriminator_optimiser: torch.optim.Optimizer,
    real: Tensor,
) -> dict[str, Tensor]:
    """One step of the article's loop, which is the official PyTorch DCGAN tutorial's.

    real: (B, 3, S, S) in [-1, 1]. The discriminator ends in a sigmoid. Returns what the article
    prints: both losses, and D's mean verdict on the real ones and on the fakes, before and after
    D's own step.
    """
    entropy = nn.functional.binary_cross_entropy
    discriminator_optimiser.zero_grad()
    on_real = discriminator(real)
    loss_real = entropy(on_real, torch.ones_like(on_real))
    loss_real.backward()

    fakes = generator(torch.randn(len(real), NOISE_SIZE, 1, 1, device=real.device))
    on_fakes = discriminator(fakes.detach())  # detach: the gradient stops here, G's turn comes
    loss_fake = entropy(on_fakes, torch.zeros_like(on_fakes))
    loss_fake.backward()  # gradients add up
    discriminator_optimiser.step()

    generator_optimiser.zero_grad()
    judged = discriminator(fakes)  # the same fakes, before a D that has just learnt
    loss_G = entropy(judged, torch.ones_like(judged))  # the label says "real"
    loss_G.backward()
    generator_optimiser.step()

    return {
        "loss_D": loss_real + loss_fake,
        "loss_G": loss_G,
        "D(x)": on_real.mean(),
        "D(G(z)) before": on_fakes.mean(),
        "D(G(z)) after": judged.mean(),
    }


def adversarial_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimiser: torch.optim.Optimizer,
    discriminator_optimiser: torch.optim.Optimizer,
    real: Tensor,
    *,
    loss: str = "bce",
    penalty: float = 0.0,
    penalty_share: float = 1 / 16,
    augment: Callable[[Tensor], Tensor] | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    lottery: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The same idea with a choice of loss, for a discriminator that returns scores (no sigmoid).

    D sees real ones and fakes as one batch (so it should not have BatchNorm, which would mix
    them), and is frozen while G learns, which spares the work of gradients that nobody uses.
    loss: "bce" or "hinge". penalty: weight of `gradient_penalty`, which is taken in one step of 16
    (`penalty_share`), by chance, and then counts sixteenfold: that is as good, and cheap (Karras et
    al. 2020, arXiv 1912.04958). augment: changes images before D sees them, real ones and fakes
    alike; see `augment`. backward: how gradients are computed, `Accelerator.backward` for fp16.
    lottery: the random numbers that choose the steps with a penalty; many processes share one, so
    that they are slow in the same steps and do not wait for each other in all the rest.
    """
    if loss not in LOSSES:
        raise CourseError(f"loss {loss!r} is unknown; choose one of {', '.join(LOSSES)}")
    loss_of_discriminator, loss_of_generator = LOSSES[loss]
    augment = augment or (lambda images: images)
    fakes = generator(torch.randn(len(real), NOISE_SIZE, 1, 1, device=real.device))

    discriminator_optimiser.zero_grad()
    scores = discriminator(augment(torch.cat([real, fakes.detach()])))
    on_real, on_fakes = scores.chunk(2)
    loss_D = loss_of_discriminator(on_real, on_fakes)
    if penalty and torch.rand((), generator=lottery) < penalty_share:
        slope = gradient_penalty(discriminator, augment(real))
        backward(loss_D + penalty / penalty_share * slope)
    else:
        backward(loss_D)
    discriminator_optimiser.step()

    generator_optimiser.zero_grad()
    discriminator.requires_grad_(False)
    judged = discriminator(augment(fakes))
    loss_G = loss_of_generator(judged)
    backward(loss_G)
    discriminator.requires_grad_(True)
    generator_optimiser.step()

    return {
        "loss_D": loss_D,
        "loss_G": loss_G,
        "D(x)": on_real.mean(),
        "D(G(z)) before": on_fakes.mean(),
        "D(G(z)) after": judged.mean(),
    }


def hinge_discriminator_loss(on_real: Tensor, on_fakes: Tensor) -> Tensor:
    """Wants scores above 1 for real ones, below −1 for fakes, and no more than that.

    Lim & Ye 2017 (arXiv 1705.02894), Miyato et al. 2018. D stops pushing a picture it is sure of.
    """
    return torch.relu(1 - on_real).mean() + torch.relu(1 + on_fakes).mean()


def hinge_generator_loss(judged: Tensor) -> Tensor:
    """Wants the score of its fakes as high as it can be."""
    return -judged.mean()


def bce_discriminator_loss(on_real: Tensor, on_fakes: Tensor) -> Tensor:
    """The article's loss, of scores: log(1 + e^−score) of real ones, log(1 + e^score) of fakes."""
    return nn.functional.softplus(-on_real).mean() + nn.functional.softplus(on_fakes).mean()


def bce_generator_loss(judged: Tensor) -> Tensor:
    """The article's loss with labels turned round, for scores."""
    return nn.functional.softplus(-judged).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """R1: how steep D is at real pictures, ½ · mean of ‖∂ score / ∂ picture‖².

    Mescheder et al. 2018 (arXiv 1801.04406). A D that is steep around the real ones sends G to and
    fro without end; one that is flat there lets G settle.
    """
    real = real.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


LOSSES = {
    "hinge": (hinge_discriminator_loss, hinge_generator_loss),
    "bce": (bce_discriminator_loss, bce_generator_loss),
}


def augment(images: Tensor, shift: float = 0.125, cutout: float = 0.0) -> Tensor:
    """Move each image a little, and black out a square: DiffAugment, Zhao et al. 2020.

    (arXiv 2006.10738.) Applied to all that D sees, it stops D from learning a small data set by
    heart; it is differentiable, so that G still learns through it.
    images: (B, C, S, S). shift: up to so large a part of S, up, down, left, right, filled with 0.
    cutout: side of the square as a part of S; 0 for none.
    """
    number, _, size, _ = images.shape
    at = torch.arange(size, device=images.device)
    if shift:
        reach = round(shift * size)
        down, right = torch.randint(-reach, reach + 1, (2, number, 1), device=images.device)
        rows, columns = at + down, at + right  # (B, S): where each new pixel comes from
        inside = _within(rows, 0, size)[:, :, None] & _within(columns, 0, size)[:, None, :]
        which = torch.arange(number, device=images.device)[:, None, None]
        rows, columns = rows.clamp(0, size - 1), columns.clamp(0, size - 1)
        moved = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
        images = moved.permute(0, 3, 1, 2) * inside[:, None]
    if cutout:
        side = round(cutout * size)
        top, left = torch.randint(
            -side // 2, size - side // 2, (2, number, 1), device=images.device
        )
        hidden = _within(at, top, top + side)[:, :, None] & _within(at, left, left + side)[:, None]
        images = images * ~hidden[:, None]
    return images


def _within(values: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
    return (values >= low) & (values < high)
