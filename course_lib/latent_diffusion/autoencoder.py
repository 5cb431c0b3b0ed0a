"""The compressor: diffusers' `AutoencoderKL`, and how it learns to give faces back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import faces, judge, pretrained, training
from course_lib.latent_diffusion.emphasis import emphasised, where_words_show

WEIGHTS = "faces-autoencoder"  # the committed one
CHANNELS = 4  # numbers at each place of the latents
EMPHASISED = 4000  # faces from which it is seen where words show


@dataclass(frozen=True)
class AutoencoderRecipe:
    """What the training is made of, apart from the data and the network's size."""

    batch_size: int = 8
    learning_rate: float = 1e-3
    average: float = 0.999
    squares: float = 2.0  # weight of the mean square beside the mean difference
    kl: float = 1e-6
    perceptual: float = 0.1
    scales: float = 0.25
    flip: bool = True
    begin: str = ""  # committed weights whose encoder stays: only the decoder learns
    emphasis: float = 0.0  # see `emphasis.where_words_show`


def new_autoencoder(channels: Sequence[int] = (32, 64, 64)) -> AutoencoderKL:
    """diffusers' autoencoder as Stable Diffusion's, but small.

    Images (B, 3, S, S) in [-1, 1] to latents (B, 4, S / 4, S / 4) and back. channels: at the
    picture's size, at half of it and at a quarter.
    """
    return AutoencoderKL(**config_of(channels))


def load_autoencoder() -> AutoencoderKL:
    """The committed one."""
    return pretrained.load(WEIGHTS, AutoencoderKL)


def config_of(channels: Sequence[int]) -> dict[str, Any]:
    """What `new_autoencoder` gives to diffusers' class."""
    return {
        "block_out_channels": list(channels),
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "latent_channels": CHANNELS,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "mid_block_add_attention": False,
        "sample_size": 64,
        "scaling_factor": 1.0,
    }


def autoencoder_step(
    autoencoder: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    *,
    look: Callable[[Tensor], list[Tensor]],
    squares: float = 2.0,
    kl: float = 1e-6,
    perceptual: float = 0.1,
    scales: float = 0.25,
    weights: Tensor | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> dict[str, Tensor]:
    """One step: there, back, and compare.

    images: (B, 3, S, S) in [-1, 1]. look: images → features, in which they are compared, too: what
    a network sees in strokes weighs more than its pixels do. kl: weight of the posterior's distance
    from a Gaussian, tiny: latents may take the room they need (Rombach et al. 2022, arXiv
    2112.10752, section 3.1). scales: weight of another way back, in which a latent of half the size
    must become a picture of half the size (EQ-VAE, Kouzelis et al. 2025, arXiv 2502.09509): such
    latents are smoother, and easier to paint. weights: (S, S), how much each pixel counts; 1 if
    None.
    """
    with autocast():
        posterior = autoencoder.encode(images).latent_dist
        latents = posterior.sample()
        back = autoencoder.decode(latents).sample.float()
        difference = back - images
        counted = difference if weights is None else weights * difference
        loss = counted.abs().mean() + squares * (counted * difference).mean()
        losses = {"loss": loss.detach(), "squares": difference.detach().square().mean()}
        if perceptual:
            pairs = zip(look(back), look(images), strict=True)
            seen = sum((one.float() - other.float()).abs().mean() for one, other in pairs)
            loss = loss + perceptual * seen
            losses["perceptual"] = seen.detach()
        if scales:
            some = max(1, len(images) // 2)
            small = autoencoder.decode(F.avg_pool2d(latents[:some], 2)).sample.float()
            apart = (small - F.avg_pool2d(images[:some], 2)).abs().mean()
            loss = loss + scales * apart
            losses["scales"] = apart.detach()
        loss = loss + kl * posterior.kl().mean()
    optimiser.zero_grad()
    backward(loss)
    optimiser.step()
    return losses


def build(
    data: faces.Faces,
    recipe: AutoencoderRecipe | None = None,
    *,
    channels: tuple[int, ...] = (32, 64, 64),
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """An autoencoder that learns to give `data` back: `build(…).fit(images=200_000)`.

    data: needs attributes where the recipe has emphasis.
    """
    recipe = recipe or AutoencoderRecipe()
    accelerator = training.make_accelerator(precision)
    device = accelerator.device
    torch.manual_seed(training.derive(seed, "weights"))
    begun = pretrained.load(recipe.begin, AutoencoderKL) if recipe.begin else None
    autoencoder = begun or new_autoencoder(channels)
    autoencoder = autoencoder.to(device, memory_format=layout(device, accelerator.mixed_precision))
    learning = decoder_of(autoencoder) if begun else autoencoder.parameters()
    weights = None
    if recipe.emphasis:
        some = data[:EMPHASISED]
        weights = emphasised(where_words_show(some.tensor(), some), recipe.emphasis).to(device)
    average = training.EMA(autoencoder, recipe.average)
    prepared = accelerator.prepare(adamw(learning, recipe.learning_rate, device))
    options = ("squares", "kl", "perceptual", "scales")
    step = partial(
        autoencoder_step, autoencoder, prepared, look=strokes(), backward=accelerator.backward,
        autocast=accelerator.autocast, weights=weights,
        **{name: getattr(recipe, name) for name in options},
    )  # fmt: skip
    unseen = faces.load("held-out")

    def result() -> AutoencoderKL:
        found = deepcopy(average.network)
        return found if begun else centre(found, data[:1000].tensor())

    return training.Training(
        step=step,
        data=data,
        recipe=recipe,
        keep={"autoencoder": autoencoder, "average": average, "optimiser": prepared},
        result=result,
        config=config_of(channels),
        accelerator=accelerator,
        seed=seed,
        flip=recipe.flip,
        schedule=training.one_cycle(warm=0.05),
        watch=lambda: {"decibels": decibels(average.network, unseen[:100].tensor())},
        figures=lambda network: {"decibels": round(decibels(network, unseen.tensor()), 2)},
    )


def decoder_of(autoencoder: AutoencoderKL) -> list[nn.Parameter]:
    """What turns latents into pictures; the rest is fixed, so that latents stay what they are."""
    autoencoder.requires_grad_(False)
    parts = (autoencoder.post_quant_conv, autoencoder.decoder)
    return [p for part in parts for p in part.requires_grad_(True).parameters()]


def adamw(
    parameters: Iterable[nn.Parameter], rate: float, device: torch.device, decay: float = 0.0
) -> torch.optim.AdamW:
    """The optimiser of this lesson's networks."""
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(parameters, rate, (0.9, 0.99), weight_decay=decay, fused=fused)


def layout(device: torch.device, precision: str = "no") -> torch.memory_format:
    """The order in which these networks keep their numbers in memory.

    Convolutions want the channels last: on a CPU an autoencoder's step is 20 % faster then, a
    U-Net's 8 %. But the backward pass of GroupNorm in 16 bits takes ten times as long on a CPU (1.4
    and 12.9 ms for 8 × 32 × 64 × 64, PyTorch 2.15). precision: an accelerator's `mixed_precision`.
    """
    slow = device.type == "cpu" and precision != "no"
    return torch.contiguous_format if slow else torch.channels_last


def strokes() -> Callable[[Tensor], list[Tensor]]:
    """What the judge's first two stages see, to compare pictures by; it does not learn.

    A judge of its own: the one that all share may have been loaded where no gradients are kept.
    """
    eye = pretrained.load("judge", judge.Judge).requires_grad_(False)

    def look(images: Tensor) -> list[Tensor]:
        edges = eye.stages["edges"](images)
        return [edges, eye.stages["strokes"](edges)]

    return look


@torch.no_grad()
def give_back(autoencoder: AutoencoderKL, images: Tensor, batch_size: int = 64) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] through the bottleneck and back, on the CPU.

    Without chance: the latents' means.
    """
    parts = images.to(autoencoder.device).split(batch_size)
    return torch.cat([decode(autoencoder, autoencoder.encode(p).latent_dist.mode()) for p in parts])


@torch.no_grad()
def decode(autoencoder: AutoencoderKL, latents: Tensor, batch_size: int = 64) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] of latents (B, 4, S / 4, S / 4), on the CPU."""
    parts = latents.to(autoencoder.device).split(batch_size)
    return torch.cat([autoencoder.decode(part).sample for part in parts]).clamp(-1, 1).cpu()


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """How alike images (B, 3, S, S) in [-1, 1] are, in decibels, (B,).

    10 · log₁₀(range² / mean square), with values of a range of 2. 6 dB more is half the error.
    """
    return 10 * (4 / (one - other).square().mean((1, 2, 3))).log10()


def decibels(autoencoder: AutoencoderKL, images: Tensor) -> float:
    """PSNR of what comes back, the mean over images (B, 3, S, S) in [-1, 1]."""
    return psnr(give_back(autoencoder, images), images.cpu()).mean().item()


@torch.no_grad()
def centre(autoencoder: AutoencoderKL, images: Tensor) -> AutoencoderKL:
    """Fold a shift and a scale of each channel into the network: of these images the latents then
    have mean 0 and standard deviation 1, as the noise has.

    diffusers' Stable Diffusion pipelines know one `scaling_factor` for all channels and no shift.
    The two 1 × 1 convolutions beside the latents can take both; pictures come back as before.
    """
    parts = images.to(autoencoder.device).split(64)
    latents = torch.cat([autoencoder.encode(part).latent_dist.mode() for part in parts])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    into, out = autoencoder.quant_conv, autoencoder.post_quant_conv
    n = len(mean)
    out.bias.add_(out.weight[:, :, 0, 0] @ mean)
    out.weight.mul_(std[None, :, None, None])
    into.weight[:n].div_(std[:, None, None, None])
    into.bias[:n].sub_(mean).div_(std)
    into.bias[n:].sub_(2 * std.log())  # the posterior's log variance
    return autoencoder
