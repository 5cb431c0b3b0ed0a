"""What a painter paints, and whether it obeys."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from course_lib import captions, faces, judge, pretrained, text
from course_lib.conditional_gan.players import Generator
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
        """Images (B, 3, S, S) in [-1, 1] of B prompts, each with noise of its own, on the CPU."""
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
    generator: Generator,
    encoder: text.TextEncoder,
    number: int = 2000,
    *,
    seed: int = 0,
    languages: Sequence[str] = captions.LANGUAGES,
    wanted: Callable[[Mapping[str, str]], bool] | None = None,
) -> dict[str, judge.Score]:
    """How often it paints what fresh captions of held-out faces say; see `judge.obedience`.

    number: of captions and pictures. seed: of both. wanted: of which faces, such as `held_apart`;
    then each caption names both colours and nothing else.
    """
    rng = random.Random(f"{seed} follow")
    known = [a for a in faces.load("held-out").attributes if wanted is None or wanted(a)]
    sentences, asked = [], []
    for _ in range(number):
        attributes, language = rng.choice(known), rng.choice(languages)
        if wanted:
            attributes = {name: attributes[name] for name in ("hair_color", "eye_color")}
        facts, figure = captions.choose(attributes, rng)
        facts = attributes if wanted else facts
        figure = figure[captions.LANGUAGES.index(language)]
        sentences.append(text.SAY[language](facts, figure, rng))
        asked.append(facts)
    return judge.obedience(Painter(generator, encoder)(sentences, seed), asked)


def held_out_captions(seed: int = 0) -> list[str]:
    """A caption of each held-out face, in either language: to paint as varied faces as those."""
    rng = random.Random(f"{seed} held out")
    known = faces.load("held-out").attributes
    return [captions.describe_in(rng.choice(captions.LANGUAGES), a, rng)[0] for a in known]


def in_brief(scores: Mapping[str, judge.Score]) -> dict[str, float]:
    """The numbers that matter most, for the manifest and the history."""
    return {
        "hair": round(scores["hair_color"].accuracy, 4),
        "eyes": round(scores["eye_color"].accuracy, 4),
        "mean": round(judge.mean_accuracy(scores), 4),
        "everything": round(scores["everything"].accuracy, 4),
    }
