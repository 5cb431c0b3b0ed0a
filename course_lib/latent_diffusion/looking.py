"""Into the U-Net while it paints: which words it looks at where, and what it expects to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor

from course_lib.latent_diffusion import flow
from course_lib.latent_diffusion.painting import GUIDANCE, STEPS, Painter, walk
from course_lib.latent_diffusion.unet import TIMES


@contextmanager
def _noting(unet: UNet2DConditionModel, note: Callable[[Tensor], None]) -> Iterator[None]:
    """While this lasts, every cross-attention tells `note` its weights (B · heads, places, T)."""

    def noted(layer: Attention, *tensors: Tensor) -> Tensor:
        scores = Attention.get_attention_scores(layer, *tensors)
        note(scores)
        return scores

    usual = unet.attn_processors
    layers = [m for name, m in unet.named_modules() if name.endswith("attn2")]
    unet.set_attn_processor(AttnProcessor())  # the fused one keeps its weights to itself
    try:
        for layer in layers:
            layer.get_attention_scores = partial(noted, layer)
        yield
    finally:
        for layer in layers:
            del layer.get_attention_scores
        unet.set_attn_processor(usual)


def looks(
    painter: Painter, prompt: str, number: int = 1, seed: int = 0, steps: int = STEPS
) -> tuple[list[str], Tensor, Tensor]:
    """Where each word of a prompt was looked at while `number` faces were painted.

    Returns the tokens (T of them), how much each place looked at each (T, S, S), a share that sums
    to 1 over the tokens, [PAD] included, the mean over layers, heads, steps and faces; and the
    latents (number, C, S, S).
    """
    states, empty = painter.states([prompt] * number)
    noise = painter.noise(number, seed)
    side, maps = noise.shape[-1], []

    def note(weights: Tensor) -> None:
        told = weights.chunk(2)[1].mean(0)  # the second half was told the words
        small = int(len(told) ** 0.5)
        square = told.T.unflatten(1, (small, small))[None]
        maps.append(torch.nn.functional.interpolate(square, size=side, mode="nearest")[0])

    with _noting(painter.unet, note):
        latents = walk(painter.unet, states, empty, noise, steps, GUIDANCE)[-1]
    tokens = painter.encoder.tokens([prompt])[0].tolist()
    return [painter.encoder.words[i] for i in tokens], torch.stack(maps).mean(0), latents


@torch.no_grad()
def guess(painter: Painter, latents: Tensor, time: float, states: Tensor) -> Tensor:
    """The latents that the U-Net expects at the end of the road, seen from `latents` at `time`."""
    times = torch.full((len(latents),), time, device=latents.device)
    answer = painter.unet(latents, TIMES * times, states.expand(len(latents), -1, -1)).sample
    return flow.data_at_end(latents, answer, time)
