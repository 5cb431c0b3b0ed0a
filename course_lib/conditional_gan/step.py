"""One step of both networks, on the article's three kinds of pair."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import dcgan
from course_lib.conditional_gan.players import Discriminator, Generator
from course_lib.errors import CourseError
from course_lib.faces.captioned import fits

MISMATCHED = ("all", "batch", "none")


def conditional_step(
    generator: Generator,
    discriminator: Discriminator,
    generator_optimiser: torch.optim.Optimizer,
    discriminator_optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    *,
    encode: Callable[[Tensor], Tensor],
    mismatched: str = "all",
    contrast: float = 0.0,
    variety: float = 0.0,
    penalty: float = 0.0,
    penalty_share: float = 1 / 16,
    relative: bool = False,
    backward: Callable[[Tensor], None] = Tensor.backward,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    lottery: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """One step of each network on the article's three kinds of pair.

    batch: of `Told`. encode: tokens → thoughts. mismatched: which real pictures D sees with words
    that do not fit: "all" that are in the batch and the captions with a mistake, "batch" without
    those, or "none". The score of a pair with other words costs D an inner product, since the
    picture's features are known already (as in DF-GAN, Tao et al. 2022, arXiv 2008.05865).
    Class 0 counts as much as class 1: fakes and misfits half each, as in Reed et al. 2016.
    contrast: weight of `nearest_words`, for both networks. variety: weight of `sameness`, for G.
    penalty: weight of D's slope at real pictures (R1) and at G's (R2), taken in a share of the
    steps. relative: real pictures with their words need not score above 0, but above G's with the
    same words and above misfits (Jolicoeur-Martineau 2018, arXiv 1807.00734); with both slopes as
    in R3GAN (Huang et al. 2024, arXiv 2501.05441).
    autocast: what D looks at pictures under, in 16 bits or not: Accelerate sees to `forward` only.
    """
    real, tokens, said, drawn = batch
    thoughts = encode(tokens)
    own = thoughts[: len(real)]
    noise = torch.randn(len(real), generator.noise_size, device=real.device)
    fakes = generator(noise, own)

    discriminator_optimiser.zero_grad()
    with autocast():
        seen = discriminator.see(torch.cat([real, fakes.detach()])).float()
    fit, scores, on_fakes = scores_of_pairs(discriminator, *seen.chunk(2), thoughts)
    on_real = scores.diagonal()
    misfit, mistaken = misfits(said, drawn)
    loss_D = loss_of_discriminator(scores, on_fakes, misfit, mistaken, mismatched, relative)
    total = loss_D + contrast * nearest_words(fit, misfit) if contrast else loss_D
    if penalty and torch.rand((), generator=lottery) < penalty_share:
        total = total + penalty / penalty_share * _slopes(discriminator, own, real, fakes)
    backward(total)
    discriminator_optimiser.step()

    generator_optimiser.zero_grad()
    discriminator.requires_grad_(False)
    with autocast():
        seen_fakes = discriminator.see(fakes).float()
    fit = discriminator.match(seen_fakes, thoughts)
    level = on_real.detach() if relative else 0
    loss_G = F.softplus(level - (discriminator.real(seen_fakes) + fit).diagonal()).mean()
    total = loss_G + contrast * nearest_words(fit, misfit) if contrast else loss_G
    if variety:
        some = len(real) // 4  # of the pictures, once more with other noise: enough, and cheap
        others = generator(torch.randn_like(noise[:some]), own[:some])
        total = total + variety * sameness(fakes[:some], others, real)
    backward(total)
    discriminator.requires_grad_(True)
    generator_optimiser.step()
    return {
        "loss_D": loss_D,
        "loss_G": loss_G,
        "D(x) fits": on_real.mean(),
        "D(x) misfits": _mean(scores, misfit),
        "D(x) one fact wrong": _mean(scores, mistaken),
        "D(G(z))": on_fakes.mean(),
    }


def scores_of_pairs(
    discriminator: Discriminator, seen: Tensor, seen_fakes: Tensor, thoughts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """D's scores, from features (B, F) of real pictures and of fakes, and 2B thoughts.

    Returns how each real picture fits all thoughts, (B, 2B); its scores with them, (B, 2B); and
    those of the fakes, (B,), each with its own thought, which is that of its number.
    """
    fit = discriminator.match(seen, thoughts)
    own = thoughts[: len(seen_fakes)]
    return fit, discriminator.real(seen) + fit, discriminator.judge(seen_fakes, own).diagonal()


def misfits(said: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Which words do not fit which picture, bool (B, 2B), and which of these are its own mistake.

    said: (2B, A), of the true captions and then of the others. drawn: (B, A). See `Told`.
    """
    misfit = ~fits(said[None], drawn[:, None])
    own = torch.eye(len(drawn), dtype=torch.bool, device=drawn.device)
    return misfit, misfit & torch.cat([torch.zeros_like(own), own], 1)


def loss_of_discriminator(
    scores: Tensor,
    on_fakes: Tensor,
    misfit: Tensor,
    mistaken: Tensor,
    mismatched: str,
    relative: bool = False,
) -> Tensor:
    """The three kinds of pair: right ones above 0, the others below; class 0 counts as much.

    scores: (B, 2B), of each real picture with all words; its own are those of its number.
    relative: each right pair above the others instead, wherever 0 is.
    """
    if mismatched not in MISMATCHED:
        raise CourseError(f"mismatched is one of {', '.join(MISMATCHED)}, not {mismatched!r}")
    own = scores.diagonal()
    level = own if relative else torch.zeros_like(own)
    fake = F.softplus(on_fakes - level).mean()
    wrong = F.softplus(scores - level[:, None])
    kinds = {"none": [], "batch": [misfit & ~mistaken], "all": [misfit & ~mistaken, mistaken]}
    losses = [_mean(wrong, chosen) for chosen in kinds[mismatched]]
    misfit_loss = sum(losses) / len(losses) if losses else fake
    if relative:
        return fake + (misfit_loss / 2 if losses else 0)
    return F.softplus(-own).mean() + (fake + misfit_loss) / 2


def nearest_words(fit: Tensor, misfit: Tensor) -> Tensor:
    """InfoNCE of pictures and words (as in XMC-GAN, Zhang et al. 2021, arXiv 2101.04702).

    fit: (B, T), how well picture i fits words j; its own are words i. misfit: bool (B, T). A
    picture's own words must win against those that do not fit it; others are no rivals.
    """
    own = fit.diagonal()
    rivals = fit.masked_fill(~misfit, -torch.inf).logsumexp(1)
    return (torch.logaddexp(own, rivals) - own).mean()


def sameness(one: Tensor, other: Tensor, real: Tensor, enough: float = 0.85) -> Tensor:
    """How much less two pictures of the same words differ than real faces do.

    After the mode-seeking loss of Mao et al. 2019 (arXiv 1903.05628), but nothing is gained by
    more than `enough` of the real ones' distance, and it is taken at a quarter of the size, where
    no noise counts. one, other: (N, 3, S, S), of other noise. real: (B, 3, S, S).
    """
    one, other, real = (F.avg_pool2d(images, 4) for images in (one, other, real))
    wanted = enough * (real - real.roll(1, 0)).abs().mean()
    return F.relu(wanted - (one - other).abs().mean((1, 2, 3))).mean()


def _slopes(discriminator: Discriminator, thoughts: Tensor, real: Tensor, fakes: Tensor) -> Tensor:
    """R1 and R2: how steep the score with these thoughts is at real pictures, and at fakes."""

    def score(images: Tensor) -> Tensor:
        return discriminator(images, thoughts)

    return dcgan.gradient_penalty(score, real) + dcgan.gradient_penalty(score, fakes)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values; 0 of none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
