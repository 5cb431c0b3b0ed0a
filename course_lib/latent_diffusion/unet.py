"""The painter: diffusers' `UNet2DConditionModel`, told by words, and how it learns."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from course_lib import captions, faces, text
from course_lib.latent_diffusion import flow
from course_lib.latent_diffusion.autoencoder import CHANNELS

TIMES = 1000  # diffusers counts times from 0 to 1000


def new_unet(
    channels: tuple[int, ...] = (64, 128, 128),
    words: int = 128,
    pooled: bool = True,
    numbers: int = CHANNELS,
    side: int = 16,
) -> UNet2DConditionModel:
    """diffusers' U-Net as Stable Diffusion's, but small, for latents (B, numbers, side, side).

    channels: at each size, such as 16, 8, 4. words: numbers of a token's vector. pooled: whether
    the words are also summed up, for every place alike, beside the time; else they are looked at
    only.
    """
    looks = len(channels) - 1  # at all sizes but the largest
    more = {"addition_embed_type": "text", "addition_embed_type_num_heads": 8} if pooled else {}
    unet = UNet2DConditionModel(
        sample_size=side,
        in_channels=numbers,
        out_channels=numbers,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * looks),
        up_block_types=(*["CrossAttnUpBlock2D"] * looks, "UpBlock2D"),
        cross_attention_dim=words,
        attention_head_dim=4,  # the number of heads, whatever its name says
        norm_num_groups=16,
        **more,
    )
    # A CPU takes PyTorch's own attention backwards slowly: matrix products are faster there.
    unet.set_attn_processor(AttnProcessor())
    return unet


class Latents:
    """Faces as latents, each with fresh captions, in both languages or one; a `training.Data`.

    tensor(rows): latents (B, C, H, W) of the faces or of their mirror images, and tokens (B, T).
    empty: the share of captions that say nothing, so that the painter also learns to paint
    anything. detailed: of those that say something, the share that says much.
    """

    def __init__(
        self,
        known: faces.Faces,
        latents: Tensor,
        tokens: Callable[[list[str]], Tensor],
        *,
        empty: float = 0.1,
        detailed: float = 0.7,
        languages: Sequence[str] = captions.LANGUAGES,
        seed: int = 0,
    ):
        self.known, self.latents, self.tokens, self.languages = known, latents, tokens, languages
        self.empty, self.detailed, self.seed, self.epoch = empty, detailed, seed, 0

    def __len__(self) -> int:
        return len(self.known)

    def fingerprint(self) -> str:
        some = self.latents[:, :: max(1, len(self) // 16)]
        return f"{len(self)} {some.double().sum().item():.3f}"

    def in_epoch(self, epoch: int) -> Latents:
        other = copy(self)
        other.epoch = epoch
        return other

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor]:
        rows = np.asarray(indices)
        chance = random.Random(f"{self.seed} {self.epoch} {rows.tolist()}")
        mirrored = torch.tensor([chance.random() < 0.5 for _ in rows]).long()
        sentences = [self.say(int(i)) for i in rows]
        return self.latents[mirrored, torch.as_tensor(rows)].float(), self.tokens(sentences)

    def say(self, i: int) -> str:
        """A caption of face i in this epoch, or an empty one."""
        rng = random.Random(f"{self.seed} {i} {self.epoch} latents")
        if rng.random() < self.empty:
            return ""
        language = rng.choice(self.languages)
        interest = rng.choice((captions.INTEREST, text.EVENLY))
        much = rng.random() < self.detailed
        numbers = captions.DETAILED if much else captions.FACTS_PER_CAPTION
        facts, figure = captions.choose(self.known.attributes[i], rng, interest, numbers)
        sentence = text.SAY[language](facts, figure[captions.LANGUAGES.index(language)], rng)
        return text.rephrased(sentence, language, rng)


class PlainLatents:
    """Latents (N, C, H, W) to learn from, without words; a `training.Data`."""

    def __init__(self, latents: Tensor):
        self.latents = latents

    def __len__(self) -> int:
        return len(self.latents)

    def fingerprint(self) -> str:
        return f"{len(self)} {self.latents.double().sum().item():.3f}"

    def in_epoch(self, _epoch: int) -> PlainLatents:
        return self

    def tensor(self, indices: Any) -> Tensor:
        return self.latents[torch.as_tensor(np.asarray(indices))].float()


@torch.no_grad()
def latents_of(autoencoder: AutoencoderKL, known: faces.Faces, batch_size: int = 64) -> Tensor:
    """Latents of faces and of their mirror images, 16 bits: (2, N, C, H, W)."""
    autoencoder.eval()
    found = None
    for start in tqdm(range(0, len(known), batch_size), "latents", disable=None, leave=False):
        images = known[start : start + batch_size].tensor().to(autoencoder.device)
        both = torch.cat([images, images.flip(-1)])
        part = autoencoder.encode(both).latent_dist.mode().unflatten(0, (2, -1))
        if found is None:
            found = torch.empty(2, len(known), *part.shape[2:], dtype=torch.float16)
        found[:, start : start + part.shape[1]] = part
    return found


def diffusion_step(
    unet: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    *,
    encode: Callable[[Tensor], Tensor],
    contrast: float = 0.0,
    shift: float = 0.0,
    weights: Tensor | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> dict[str, Tensor]:
    """One step: noise the latents, ask for the way, and compare.

    batch: of `Latents`. encode: tokens (B, T) → states (B, T, W). contrast: weight of how far the
    answer is from the way of *another* latent, which it should not resemble (contrastive flow
    matching, Stoica et al. 2025, arXiv 2506.05350); the best answer is then 1 / (1 - contrast)
    times as long as the way, if latents have a mean of 0. shift: of the times, see
    `flow.random_times`.
    weights: (H, W), how much each place counts, 1 if None. They do not change which answer is best,
    for each place has its own; they change what is learnt first.

    The loss returned is the plain mean square, so that trainings with other weights compare.
    """
    latents, tokens = batch
    noise = torch.randn_like(latents)
    time = flow.random_times(len(latents), shift=shift).to(latents.device)
    states = encode(tokens)
    with autocast():
        answer = unet(flow.add_noise(latents, noise, time), TIMES * time, states).sample.float()
    way = flow.direction(latents, noise)
    total = weighted_square(answer, way, weights)
    if contrast:
        total = total - contrast * weighted_square(answer, way.roll(1, 0), weights)
    optimiser.zero_grad()
    backward(total)
    optimiser.step()
    return {"loss": F.mse_loss(answer.detach(), way)}


def wordless_step(
    ask: Callable[[Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    latents: Tensor,
    *,
    shift: float = 0.0,
    backward: Callable[[Tensor], None] = Tensor.backward,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> dict[str, Tensor]:
    """The same without words: noise the latents (B, C, H, W), ask for the way, and compare.

    ask: places like the latents and times (B,) from 0 to 1000 → directions. shift: of the times.
    """
    noise = torch.randn_like(latents)
    time = flow.random_times(len(latents), shift=shift).to(latents.device)
    with autocast():
        answer = ask(flow.add_noise(latents, noise, time), TIMES * time).float()
    loss = F.mse_loss(answer, flow.direction(latents, noise))
    optimiser.zero_grad()
    backward(loss)
    optimiser.step()
    return {"loss": loss.detach()}


def weighted_square(one: Tensor, other: Tensor, weights: Tensor | None) -> Tensor:
    """The mean square of a difference (B, C, H, W), with weights (H, W) of the places."""
    square = (one - other).square()
    return (square if weights is None else square * weights).mean()
