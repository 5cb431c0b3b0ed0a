"""Pictures from prompts and seeds: the same call for the small pipeline and for the large ones."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.stable_diffusion.table import Checkpoint
from course_lib.stable_diffusion.troubles import PaintingError, explained

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from PIL.Image import Image

PIXELS_AT_ONCE = 512 * 512  # of all pictures that are painted together
MOST_AT_ONCE = 16
LARGE_SIDE = 256  # from which on a bar shows how far it is


def checkpoint_of(pipeline: StableDiffusionPipeline) -> Checkpoint:
    """What is known of the checkpoint that a pipeline came from; `load` notes it.

    For any other pipeline it is what holds for Stable Diffusion, with this one's own side.
    """
    known = getattr(pipeline, "checkpoint", None)
    if isinstance(known, Checkpoint):
        return known
    side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    return Checkpoint("this pipeline", type(pipeline).__name__, side=side)


def paint(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    guidance: float | None = None,
    negative: str = "",
    side: int | None = None,
    at_once: int | None = None,
    progress: bool | None = None,
) -> list[Image]:
    """A picture of each prompt, from the noise of its seed.

    prompts: B of them; the checkpoint's own prefix is put before each. seeds: B whole numbers. The
    noise is drawn on the CPU in 32 bits, so the same seed is the same noise on every device and in
    every precision. steps, guidance, side (pixels, a multiple of 8): None, what the checkpoint's
    makers advise. guidance up to 1 spares the look without words. negative: what the pictures are
    to lead away from. at_once: how many pictures are painted together, which takes more memory.
    progress: show a bar; None, for large pictures.

    PaintingError: an argument that does not fit, or too little memory. A warning counts pictures
    that the safety checker made black.
    """
    checkpoint = checkpoint_of(pipeline)
    steps = checkpoint.steps if steps is None else steps
    guidance = checkpoint.guidance if guidance is None else guidance
    side = checkpoint.side if side is None else side
    seeds = _checked(prompts, seeds, steps, guidance, side, negative)
    prompts = [_prefixed(prompt, checkpoint.prefix) for prompt in prompts]
    if at_once is None:
        at_once = min(MOST_AT_ONCE, max(1, PIXELS_AT_ONCE // side**2))
    elif at_once < 1:
        raise PaintingError(f"at_once is {at_once}; paint 1 or more pictures together")
    pictures, blacked = [], []
    quiet = side < LARGE_SIDE if progress is None else not progress
    total = steps * -(-len(prompts) // at_once)
    with explained(checkpoint.name), tqdm(total=total, unit="step", disable=quiet) as bar:
        for start in range(0, len(prompts), at_once):
            part = slice(start, start + at_once)
            said = {"negative_prompt": [negative] * len(prompts[part])} if negative else {}
            images, black = _paint(
                pipeline, prompts[part], seeds[part], side, bar, num_inference_steps=steps,
                guidance_scale=guidance, **said,
            )  # fmt: skip
            pictures += images
            blacked += [start + i for i, is_black in enumerate(black) if is_black]
            bar.update(steps * (start // at_once + 1) - bar.n)  # a solver may look more often
    if blacked:
        warnings.warn(
            f"The safety checker of {checkpoint.name} made {len(blacked)} of {len(pictures)} "
            f"pictures black (numbers {', '.join(map(str, blacked))}, from 0). It is often wrong: "
            "take another seed, or say it in other words.",
            stacklevel=2,
        )
    return pictures


def noise(
    pipeline: StableDiffusionPipeline, generators: list[torch.Generator], side: int
) -> Tensor:
    """(B, C, side / f, side / f), one of each generator, drawn on the CPU in 32 bits.

    In 16 bits some versions of PyTorch draw quite other numbers from the same seed (seen in 2.11).
    """
    places = side // pipeline.vae_scale_factor
    shape = (1, pipeline.vae.config.latent_channels, places, places)
    return torch.cat([torch.randn(shape, generator=generator) for generator in generators])


def _paint(
    pipeline: StableDiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    side: int,
    bar: tqdm,
    **options: Any,
) -> tuple[list[Image], list[bool]]:
    """Pictures that are painted together, and which of them the safety checker made black."""
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def watch(_: Any, step: int, time: Any, values: dict[str, Any]) -> dict[str, Any]:
        if bar.n < bar.total:
            bar.update()
        return values

    out = pipeline(
        prompts,
        height=side,
        width=side,
        latents=noise(pipeline, generators, side).to(pipeline.unet.dtype),
        generator=generators,  # for those schedulers that draw more on the way
        callback_on_step_end=watch,
        **options,
    )
    return out.images, out.nsfw_content_detected or [False] * len(prompts)


def _prefixed(prompt: str, prefix: str) -> str:
    return prompt if prompt.startswith(prefix) else prefix + prompt


def _checked(
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    side: int,
    negative: str,
) -> list[int]:
    """The seeds as plain numbers; PaintingError when an argument does not fit."""
    if isinstance(prompts, str):
        raise PaintingError(f"prompts is a text; write it in brackets: [{prompts!r}]")
    wrong = [prompt for prompt in prompts if not isinstance(prompt, str)]
    if wrong or not len(prompts):
        raise PaintingError(f"prompts is a list of texts, one or more; got {wrong or prompts!r}")
    try:
        numbers = [operator.index(seed) for seed in seeds]
    except TypeError:
        raise PaintingError(
            f"seeds is a list of whole numbers, one for each prompt, such as [0, 1]; got {seeds!r}"
        ) from None
    if len(numbers) != len(prompts):
        raise PaintingError(
            f"{len(prompts)} prompts need as many seeds, and there are {len(numbers)}"
        )
    if out_of_range := [number for number in numbers if not 0 <= number < 2**63]:
        raise PaintingError(f"a seed is from 0 to 2⁶³ - 1; got {out_of_range[0]}")
    if not isinstance(steps, int) or steps < 1:
        raise PaintingError(f"steps is {steps!r}; the way from noise has 1 step or more")
    if not 0 <= guidance < float("inf"):
        raise PaintingError(f"guidance is {guidance!r}; it is 0 or more, mostly from 1 to 10")
    if side < 8 or side % 8:
        raise PaintingError(f"side is {side}; it is a multiple of 8 pixels, such as {8 * 8}")
    if negative and guidance <= 1:
        raise PaintingError(
            f"a negative prompt has no effect at guidance {guidance:g}: it takes the place of no "
            "words, and up to 1 nothing is led away from that. Leave it out, or raise guidance."
        )
    return numbers
