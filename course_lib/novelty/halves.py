"""Two painters that share no picture, and the same noise for both: do they paint the same face?

After Kadkhodaie et al. 2023 (arXiv 2310.02557): with few pictures each painter knows its own by
heart; with many both have learnt what their pictures have in common, and agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DModel
from torch import Tensor, nn

from course_lib import faces, training
from course_lib.errors import CourseError
from course_lib.faces.table import COLUMNS
from course_lib.latent_diffusion import autoencoder as compressor
from course_lib.latent_diffusion import flow
from course_lib.latent_diffusion.unet import TIMES, PlainLatents, latents_of, wordless_step

SIZES = (16, 64, 512, 3000)  # pictures of a half
LARGEST = 3000
MORE = 27  # seed of the drawings beside the bundled ones, which are 5,400
CHANNELS = (32, 48, 64)  # at 16, 8 and 4 places a side
SIDE, NUMBERS = 16, 4  # of the autoencoder's latents
STEPS = 20


@dataclass(frozen=True)
class HalfRecipe:
    """What a painter of a half is trained with; the same for every number of pictures."""

    batch_size: int = 32
    unet_rate: float = 2e-3
    average: float = 0.995


def halves(n: int, seed: int = 0) -> tuple[faces.Faces, faces.Faces]:
    """Two times n faces, none in both. The first of a larger half are those of a smaller one.

    n: from 1 to 3,000. seed: who is in which half. CourseError for another n.
    """
    if not 1 <= n <= LARGEST:
        raise CourseError(f"a half has 1 to {LARGEST:,} faces, not {n}")
    known = faces.load("train")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(known))
    each = len(known) // 2
    found = [known[order[:each][:n]], known[order[each:][:n]]]
    if (missing := n - each) > 0:
        drawn = faces.render(2 * (LARGEST - each), seed=MORE)
        parts = (drawn[:missing], drawn[LARGEST - each :][:missing])
        found = [together(one, part) for one, part in zip(found, parts, strict=True)]
    return tuple(found)


def together(one: faces.Faces, other: faces.Faces) -> faces.Faces:
    """The faces of both, with what both know of them."""
    known = {
        name: [*getattr(one, name), *getattr(other, name)]
        for name in COLUMNS
        if getattr(one, name) is not None and getattr(other, name) is not None
    }
    return faces.Faces(np.concatenate([one.images, other.images]), **known, name=one.name)


def new_unet(channels: tuple[int, ...] = CHANNELS) -> UNet2DModel:
    """A U-Net without words, of convolutions alone, for latents (B, 4, 16, 16)."""
    return UNet2DModel(
        sample_size=SIDE,
        in_channels=NUMBERS,
        out_channels=NUMBERS,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=["DownBlock2D"] * len(channels),
        up_block_types=["UpBlock2D"] * len(channels),
        norm_num_groups=16,
        add_attention=False,
    )


class Pair(nn.Module):
    """The painters of two halves, as one file."""

    def __init__(self, channels: tuple[int, ...] = CHANNELS):
        super().__init__()
        self.one, self.other = new_unet(tuple(channels)), new_unet(tuple(channels))


def build(
    data: faces.Faces,
    recipe: HalfRecipe | None = None,
    *,
    channels: tuple[int, ...] = CHANNELS,
    seed: int = 0,
    precision: str | None = None,
    autoencoder: AutoencoderKL | None = None,
    begin: UNet2DModel | None = None,
) -> training.Training:
    """A painter that learns from these faces and no others, as they are, never mirrored.

    Of one seed all begin with the same weights and draw the same noise. autoencoder: lesson 5's
    own, unless another is given; it does not learn. begin: a painter that it goes on from, instead
    of chance; of these `channels`, and left as it is.
    """
    recipe = recipe or HalfRecipe()
    if len(data) < recipe.batch_size:
        recipe = replace(recipe, batch_size=len(data))
    accelerator = training.make_accelerator(precision)
    device = accelerator.device
    autoencoder = (autoencoder or compressor.load_autoencoder()).to(device)
    latents = latents_of(autoencoder, data)[0]
    torch.manual_seed(training.derive(seed, "weights"))
    layout = compressor.layout(device, accelerator.mixed_precision)
    unet = new_unet(channels)
    if begin is not None:
        unet.load_state_dict(begin.state_dict())
    unet = unet.to(device, memory_format=layout)
    average = training.EMA(unet, recipe.average)
    optimiser = compressor.adamw(unet.parameters(), recipe.unet_rate, device, decay=0.01)
    prepared = accelerator.prepare(optimiser)
    noise = noise_for(16).to(device)
    return training.Training(
        step=partial(
            wordless_step,
            partial(velocity_of, unet),
            prepared,
            backward=accelerator.backward,
            autocast=accelerator.autocast,
        ),
        data=PlainLatents(latents),
        recipe=recipe,
        keep={"unet": unet, "average": average, "optimiser": prepared},
        result=lambda: average.network,
        config={"channels": list(channels)},
        accelerator=accelerator,
        seed=seed,
        schedule=training.one_cycle(warm=0.05),
        pictures=lambda: paint(average.network, autoencoder, noise),
    )


def noise_for(number: int, seed: int = 0) -> Tensor:
    """What walks begin with: (number, 4, 16, 16), the same on every device."""
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(number, NUMBERS, SIDE, SIDE, generator=chance)


def between(one: Tensor, other: Tensor, number: int) -> Tensor:
    """(number, …): noises from one to another of the same shape, in even strides on the sphere.

    White 2016 (arXiv 1609.04468): a straight line would pass through noises that are too short.
    """
    angle = torch.acos(torch.cosine_similarity(one.flatten(), other.flatten(), dim=0))
    parts = torch.linspace(0, 1, number).view(-1, *[1] * one.ndim)
    return (torch.sin((1 - parts) * angle) * one + torch.sin(parts * angle) * other) / angle.sin()


@torch.no_grad()
def latents_from(unet: UNet2DModel, noise: Tensor, steps: int = STEPS) -> Tensor:
    """Latents (B, 4, 16, 16) at the end of the walks from noise of that shape."""

    def velocity(places: Tensor, time: Tensor) -> Tensor:
        return velocity_of(unet, places, TIMES * time)

    unet.eval()
    parts = noise.to(unet.device).split(128)
    return torch.cat([flow.two_step(velocity, part, flow.times_of(steps))[-1] for part in parts])


def velocity_of(unet: UNet2DModel, places: Tensor, times: Tensor) -> Tensor:
    """What it answers at places (B, 4, 16, 16) and times (B,) from 0 to 1000."""
    return unet(places, times).sample


def paint(
    unet: UNet2DModel, autoencoder: AutoencoderKL, noise: Tensor, steps: int = STEPS
) -> Tensor:
    """Images (B, 3, 64, 64) in [-1, 1] from noise (B, 4, 16, 16), on the CPU."""
    return compressor.decode(autoencoder, latents_from(unet, noise, steps))
