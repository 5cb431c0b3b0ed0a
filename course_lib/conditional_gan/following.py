"""What a painter paints, and whether it obeys."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib import judge, pretrained, text
from course_lib.conditional_gan.players import Generator
from course_lib.errors import CourseError
from course_lib.pixels import evaluating

WEIGHTS = "faces-words"  # the committed painter


@torch.no_grad()
def paint(generator: Generator, noise: Tensor, thoughts: Tensor, batch_size: int = 128) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] of noise (B, Z) and thoughts (B, N), each by itself."""
    with evaluating(generator):
        pairs = zip(noise.split(batch_size), thoughts.split(batch_size), strict=True)
        return torch.cat([generator(z, x) for z, x in pairs])


class Painter:
    """The committed painter, ready for prompts: `Painter()(["red eyes", "蓝眼睛"], seed=0)`.

    A prompt that asks for nothing, such as "a girl" or an empty one, is painted as any face: each
    time what some caption says, drawn by lot, since no painter here has learnt from such a one.
    """

    def __init__(self, generator: Generator | None = None, encoder: text.TextEncoder | None = None):
        self.generator = generator or pretrained.load(WEIGHTS, Generator)
        self.encoder = encoder or text.load()

    def __call__(self, prompts: Sequence[str], seed: int = 0) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of B prompts, each with noise of its own, on the CPU.

        CourseError for what is no list of texts: of one text each letter would be a prompt. Warns
        of words that it does not know.
        """
        if isinstance(prompts, str) or not all(isinstance(one, str) for one in prompts):
            raise CourseError('prompts are a list of texts, such as ["red eyes", "蓝色长发"]')
        if not len(prompts):
            raise CourseError('there is no prompt; give one or more, such as ["red eyes"]')
        text.warn_of_unknown(self.encoder, prompts)
        chance = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(prompts), self.generator.noise_size, generator=chance)
        prompts = self._or_anything(prompts, seed)
        parts = [self.encoder.think(prompts[i : i + 256]) for i in range(0, len(prompts), 256)]
        thoughts = torch.cat([part.vector for part in parts])
        return paint(self.generator, noise.to(thoughts.device), thoughts).cpu()

    def _or_anything(self, prompts: Sequence[str], seed: int) -> list[str]:
        rng = random.Random(f"{seed} anything")
        return [
            text.SAY["en"](text.invented(rng), None, rng) if nothing else prompt
            for prompt, nothing in zip(prompts, self.encoder.says_nothing(prompts), strict=True)
        ]


def follow(
    generator: Generator, encoder: text.TextEncoder, number: int = 2000, **options: Any
) -> dict[str, judge.Score]:
    """How often it paints what it is told: `text.follow`."""
    return text.follow(Painter(generator, encoder), number, **options)
