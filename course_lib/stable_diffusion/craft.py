"""The craft beside the prompt: repainting a part, beginning from a doodle, a face with two sides.

`retouch` and `redraw` are diffusers' pipelines, called with what this course's small painter wants;
they take Stable Diffusion's just as well. `anagram` is a walk of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.latent_diffusion import Painter, flow, guided_velocity
from course_lib.latent_diffusion.autoencoder import decode

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

STEPS, GUIDANCE = 20, 2.0
EYES = (24, 44, 8, 56)  # rows and columns of the eyes in nearly every face of the course


def box(where: tuple[int, int, int, int], size: int = 64) -> Tensor:
    """A mask (1, 1, size, size): 1 in the rows and columns `where`, from the first up to the last.

    CourseError for an empty box, or one that leaves the picture.
    """
    top, bottom, left, right = where
    if not (0 <= top < bottom <= size and 0 <= left < right <= size):
        raise CourseError(
            f"the box {where} is (top, bottom, left, right) with 0 ≤ top < bottom ≤ {size}, and "
            "left and right alike"
        )
    mask = torch.zeros(1, 1, size, size)
    mask[..., top:bottom, left:right] = 1
    return mask


def retouch(
    pipeline: StableDiffusionPipeline,
    images: Tensor,
    prompts: Sequence[str],
    mask: Tensor,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
) -> Tensor:
    """Inpainting: images (B, 3, S, S) in [-1, 1], painted anew where the mask is 1, on the CPU.

    prompts: one an image. mask: (1, 1, S, S), 1 is "paint here". Everything else is afterwards as
    it was, to the bit: the autoencoder returns pixels only nearly the same, so the old ones are put
    back.
    """
    from diffusers import StableDiffusionInpaintPipeline

    _as_many(images, prompts)
    if mask.shape != (1, 1, *images.shape[2:]):
        raise CourseError(f"the mask is {tuple(mask.shape)}, not (1, 1, *{images.shape[2:]})")
    other = StableDiffusionInpaintPipeline.from_pipe(pipeline)
    other.set_progress_bar_config(disable=True)
    height, width = images.shape[2:]
    painted = other(
        list(prompts), image=(images + 1) / 2, mask_image=mask, height=height, width=width,
        strength=1.0, num_inference_steps=steps, guidance_scale=guidance,
        generator=_chance(len(images), seed), output_type="pt",
    ).images  # fmt: skip
    return torch.where(mask.bool(), painted.cpu().float() * 2 - 1, images)


def redraw(
    pipeline: StableDiffusionPipeline,
    images: Tensor,
    prompts: Sequence[str],
    strength: float = 0.7,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
) -> Tensor:
    """Image to image: images (B, 3, S, S) in [-1, 1], noised and painted again, on the CPU.

    prompts: one an image. strength: how far into noise, from 0 to 1; at 1 nothing of them is left.
    """
    from diffusers import StableDiffusionImg2ImgPipeline

    _as_many(images, prompts)
    if not 1 / steps <= strength <= 1:
        raise CourseError(
            f"strength is {strength}; choose from {1 / steps:g} (one of {steps} steps) to 1"
        )
    other = StableDiffusionImg2ImgPipeline.from_pipe(pipeline)
    other.set_progress_bar_config(disable=True)
    painted = other(
        list(prompts), image=(images + 1) / 2, strength=strength, num_inference_steps=steps,
        guidance_scale=guidance, generator=_chance(len(images), seed), output_type="pt",
    ).images  # fmt: skip
    return painted.cpu().float() * 2 - 1


@torch.no_grad()
def anagram(
    painter: Painter,
    upright: Sequence[str],
    upside_down: Sequence[str],
    *,
    steps: int = 12,
    guidance: float = 4.0,
    seed: int = 0,
) -> Tensor:
    """Pictures that are one thing upright and another upside down: (B, 3, 64, 64) in [-1, 1].

    Visual anagrams, Geng et al. 2023 (arXiv 2311.17919): at each step two guesses, one of the
    picture as it is and one of it turned by half a turn; the walk follows their mean. upright,
    upside_down: a prompt for each, B of both. Their painter works on pixels. Latents turned upside
    down are not the latents of the picture upside down, so here each guess is decoded, and what is
    turned and averaged are pictures.
    """
    if len(upright) != len(upside_down):
        raise CourseError(f"{len(upright)} prompts upright and {len(upside_down)} upside down")
    told = [painter.states(prompts) for prompts in (upright, upside_down)]
    ways = [guided_velocity(painter.unet, *states, guidance) for states in told]
    noise = painter.noise(len(upright), seed)
    places, turned, picture = noise, half_turn(noise), noise
    for now, then in pairwise(flow.times_of(steps).to(noise.device)):
        time = now.expand(len(noise))
        guesses = [
            decode(painter.autoencoder, flow.data_at_end(seen, way(seen, time), now))
            for seen, way in zip((places, turned), ways, strict=True)
        ]
        picture = (guesses[0] + half_turn(guesses[1])) / 2  # (B, 3, 64, 64)
        both = torch.cat([picture, half_turn(picture)]).to(noise.device)
        data = painter.autoencoder.encode(both).latent_dist.mode().chunk(2)
        noise = (places - (1 - now) * data[0]) / now  # what is noise if that is the picture
        places = flow.add_noise(data[0], noise, then)
        turned = flow.add_noise(data[1], half_turn(noise), then)
    return picture.clamp(-1, 1)


def half_turn(pictures: Tensor) -> Tensor:
    """Pictures or latents (B, C, H, W) upside down, as one turns a page."""
    return pictures.flip(-1, -2)


def _chance(number: int, seed: int) -> list[torch.Generator]:
    """A generator a picture, on the CPU: the same noise on every device and in every batch."""
    return [torch.Generator().manual_seed(seed * 100_003 + i) for i in range(number)]


def _as_many(images: Tensor, prompts: Sequence[str]) -> None:
    if isinstance(prompts, str):
        raise CourseError('prompts are a list, one an image, such as ["red eyes"]')
    if len(images) != len(prompts):
        raise CourseError(f"{len(images)} images and {len(prompts)} prompts: give as many")
