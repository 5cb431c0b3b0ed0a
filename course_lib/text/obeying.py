"""Whether a painter does what it is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from course_lib import captions, faces, judge
from course_lib.text.learning import SAY


def follow(
    paint: Callable[[list[str], int], Tensor],
    number: int = 2000,
    *,
    seed: int = 0,
    languages: Sequence[str] = captions.LANGUAGES,
    wanted: Callable[[Mapping[str, str]], bool] | None = None,
) -> dict[str, judge.Score]:
    """How often it paints what fresh captions of held-out faces say; see `judge.obedience`.

    paint: prompts (a list of B) and a seed → images (B, 3, 64, 64) in [-1, 1]. number: of captions
    and pictures. seed: of both. wanted: of which faces, such as `faces.held_apart`; then each
    caption names both colours and nothing else.
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
        sentences.append(SAY[language](facts, figure, rng))
        asked.append(facts)
    return judge.obedience(paint(sentences, seed), asked)


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
