"""From noise and words to pictures, with our own few lines; `pipeline` is diffusers' way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from course_lib import pretrained, settings, text
from course_lib.errors import CourseError
from course_lib.latent_diffusion import flow
from course_lib.latent_diffusion.autoencoder import decode
from course_lib.latent_diffusion.unet import TIMES

WEIGHTS = "faces-diffusion"  # the committed pipeline
STEPS, GUIDANCE = 10, 2.0
SIZE = 64  # pixels of a side


def padded(encoder: text.TextEncoder, prompts: Sequence[str], filler: str = "[SEP]") -> Tensor:
    """Tokens (B, 64) of prompts, filled up with [SEP], as Stable Diffusion does with its end token.

    [SEP] has read the whole sentence wherever it stands, so its copies repeat what was said. [PAD]
    says nothing: three quarters of what the U-Net sees would be the same for every prompt.
    """
    tokens = encoder.tokens(prompts)
    full = torch.nn.functional.pad(tokens, (0, text.LENGTH - tokens.shape[1]), value=text.PAD)
    return full.masked_fill(full == text.PAD, encoder.words.index(filler))


def guided_velocity(
    unet: UNet2DConditionModel,
    states: Tensor,
    empty: Tensor,
    guidance: float = GUIDANCE,
    watch: Callable[[int], None] | None = None,
) -> flow.Velocity:
    """The way that the U-Net shows with words, for `flow.euler` and `flow.two_step`.

    states: (B, T, W), what it is told for each of B latents. empty: (1, T, W), the states of no
    words at all. guidance: see `flow.guided`; at 1 the look without words is spared. watch: told at
    each look of how many latents it was.
    """
    without = empty.expand(len(states), -1, -1)

    @torch.no_grad()
    def velocity(places: Tensor, time: Tensor) -> Tensor:
        if watch:
            watch(len(places))
        if guidance == 1:
            return unet(places, TIMES * time, states).sample
        twice, times = places.repeat(2, 1, 1, 1), TIMES * time.repeat(2)
        answers = unet(twice, times, torch.cat([without, states])).sample
        return flow.guided(*answers.chunk(2), guidance)

    return velocity


def walk(
    unet: UNet2DConditionModel,
    states: Tensor,
    empty: Tensor,
    noise: Tensor,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    watch: Callable[[int], None] | None = None,
    start: float = 1.0,
) -> list[Tensor]:
    """From noise (B, C, H, W) to latents, see `guided_velocity`: all the places on the way.

    start: the time at which it begins; below 1 `noise` is latents with so much noise in them.
    """
    velocity = guided_velocity(unet, states, empty, guidance, watch)
    return flow.two_step(velocity, noise, flow.times_of(steps, start))


class Painter:
    """U-Net, autoencoder and text encoder together: `Painter()(["red eyes", "蓝眼睛"], seed=0)`.

    Without them it is the course's own; `load_painter` loads that of a training.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel | None = None,
        autoencoder: AutoencoderKL | None = None,
        encoder: text.TextEncoder | None = None,
        filler: str = "[SEP]",
    ):
        if unet is None or autoencoder is None:
            whole = networks()
            unet, autoencoder = unet or whole[0], autoencoder or whole[1]
        self.unet, self.autoencoder, self.encoder = unet, autoencoder, encoder or text.load()
        self.filler = filler

    def __call__(
        self,
        prompts: Sequence[str],
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        size: int = SIZE,
        watch: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Images (B, 3, size, size) in [-1, 1] of B prompts, each of its own noise, on the CPU.

        steps: looks of the U-Net, from noise to picture. guidance: how much the words count, see
        `flow.guided`; 1 as they were learnt, and twice as fast. size: of a side in pixels, a
        multiple of 8; it has learnt on 64. watch: told after each step how many pictures it was of.
        CourseError for what cannot be painted. Warns of words that it does not know.
        """
        self._refuse(prompts, steps, guidance, size)
        text.warn_of_unknown(self.encoder, prompts)
        states, empty = self.states(prompts)
        parts = zip(states.split(64), self.noise(len(prompts), seed, size).split(64), strict=True)
        options = (steps, guidance, watch)
        latents = [walk(self.unet, told, empty, some, *options)[-1] for told, some in parts]
        return decode(self.autoencoder, torch.cat(latents))

    def noise(self, number: int, seed: int = 0, size: int = SIZE) -> Tensor:
        """What the walk begins with: (number, C, size / 4, size / 4), the same on every device."""
        chance = torch.Generator().manual_seed(seed)
        config = self.unet.config
        side = config.sample_size * size // SIZE
        shape = (number, config.in_channels, side, side)
        return torch.randn(shape, generator=chance).to(self.unet.device)

    @torch.no_grad()
    def states(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What the U-Net reads: (B, T, W), a vector of each token, and (1, T, W) of no words."""
        rows = padded(self.encoder, [*prompts, ""], self.filler).to(self.unet.device)
        states = torch.cat([self.encoder(part).states for part in rows.split(256)])
        return states[:-1], states[-1:]

    @staticmethod
    def _refuse(prompts: Sequence[str], steps: int, guidance: float, size: int) -> None:
        if isinstance(prompts, str) or not all(isinstance(one, str) for one in prompts):
            raise CourseError('prompts are a list of texts, such as ["red eyes", "蓝色长发"]')
        if not len(prompts):
            raise CourseError('there is no prompt; give one or more, such as ["red eyes"]')
        if not isinstance(steps, int) or steps < 1:
            raise CourseError(f"steps is {steps}; choose a whole number from 1, such as {STEPS}")
        if not 0 <= guidance < math.inf:
            raise CourseError(f"guidance is {guidance}; choose 0 or more, such as {GUIDANCE:g}")
        if size % 8 or not 32 <= size <= 512:
            raise CourseError(f"size is {size}; choose a multiple of 8 from 32 to 512, such as 64")


def networks(
    name: str = WEIGHTS, folder: str | Path | None = None
) -> tuple[UNet2DConditionModel, AutoencoderKL]:
    """U-Net and autoencoder of a pipeline's folder, on `settings.device()`.

    PretrainedError when there is none of that name, or a file is missing or was changed.
    """
    path = pretrained.whole_folder(name, folder)
    unet = UNet2DConditionModel.from_pretrained(path, subfolder="unet", local_files_only=True)
    autoencoder = AutoencoderKL.from_pretrained(path, subfolder="vae", local_files_only=True)
    return tuple(part.to(settings.device()).eval() for part in (unet, autoencoder))


def load_painter(name: str = WEIGHTS, folder: str | Path | None = None) -> Painter:
    """The painter of a training's folder, with the course's own text encoder."""
    return Painter(*networks(name, folder))
