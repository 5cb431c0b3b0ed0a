"""From noise and words to pictures, with our own few lines; `pipeline` is diffusers' way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from course_lib import text
from course_lib.latent_diffusion import flow
from course_lib.latent_diffusion.unet import TIMES

STEPS, GUIDANCE = 10, 3.0


def padded(encoder: text.TextEncoder, prompts: Sequence[str]) -> Tensor:
    """Tokens (B, 64) of prompts, all of one length, as a pipeline gives them to its text model."""
    tokens = encoder.tokens(prompts)
    return torch.nn.functional.pad(tokens, (0, text.LENGTH - tokens.shape[1]), value=text.PAD)


@torch.no_grad()
def paint_latents(
    unet: UNet2DConditionModel,
    states: Tensor,
    empty: Tensor,
    noise: Tensor,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    batch_size: int = 64,
) -> Tensor:
    """Latents (B, C, H, W) of noise (B, C, H, W) and of what the text model says, (B, T, W).

    empty: (1, T, W), the states of no words at all. One look at each step with the words and one
    without; with guidance 1 those without are spared.
    """

    def parts(some: Tensor, words: Tensor) -> Tensor:
        without = empty.expand(len(some), -1, -1)

        def velocity(places: Tensor, time: Tensor) -> Tensor:
            if guidance == 1:
                return unet(places, TIMES * time, words).sample
            twice, times = places.repeat(2, 1, 1, 1), TIMES * time.repeat(2)
            answers = unet(twice, times, torch.cat([without, words])).sample
            return flow.guided(*answers.chunk(2), guidance)

        return flow.two_step(velocity, some, flow.times_of(steps))[-1]

    pairs = zip(noise.split(batch_size), states.split(batch_size), strict=True)
    return torch.cat([parts(some, words) for some, words in pairs])


class Painter:
    """U-Net, autoencoder and text encoder together: `Painter(…)(["red eyes"], seed=0)`."""

    def __init__(
        self, unet: UNet2DConditionModel, autoencoder: AutoencoderKL, encoder: text.TextEncoder
    ):
        self.unet, self.autoencoder, self.encoder = unet, autoencoder, encoder

    @torch.no_grad()
    def __call__(
        self, prompts: Sequence[str], seed: int = 0, steps: int = STEPS, guidance: float = GUIDANCE
    ) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of B prompts, each with noise of its own, on the CPU."""
        chance = torch.Generator().manual_seed(seed)
        config = self.unet.config
        shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
        noise = torch.randn(shape, generator=chance).to(self.unet.device)
        rows = padded(self.encoder, [*prompts, ""]).to(self.unet.device)
        states = self.encoder(rows).states
        latents = paint_latents(self.unet, states[:-1], states[-1:], noise, steps, guidance)
        parts = [self.autoencoder.decode(part).sample for part in latents.split(64)]
        return torch.cat(parts).clamp(-1, 1).cpu()
