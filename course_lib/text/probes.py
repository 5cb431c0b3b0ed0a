"""Does the encoder know what was said? Linear probes, on captions of faces it has never met.

A probe is one linear layer (logistic regression) on the mean of a caption's tokens, or on its
thought vector, that must name the value of an attribute which the caption mentions. The encoder
does not change. Probes learn from captions of training faces and are tried on fresh captions of the
held-out faces. `python -m course_lib.text` prints the table.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import captions, faces
from course_lib.faces.captioned import UNSAID, in_numbers
from course_lib.text.encoder import TextEncoder
from course_lib.text.learning import EVENLY, SAY
from course_lib.text.sight import load

KINDS = ("tokens", "vector")
LEARNT_FROM, TRIED_ON = 3, 8  # captions a face and language


class Probed(NamedTuple):
    """Captions in one language: their vectors by kind, (N, W) each, and what they say (N, A)."""

    vectors: dict[str, Tensor]
    said: Tensor


def probe(encoder: TextEncoder | None = None, seed: int = 0) -> dict[str, dict[str, dict]]:
    """kind → language → attribute → (share right, captions): "tokens" or "vector", "en" or "zh".

    "both colours" counts captions that name hair and eyes in two different colours, and are right
    only if both are read right: which colour belongs to what.
    """
    encoder = encoder or load()
    known, unseen = faces.load("train")[:3000], faces.load("held-out")
    learn = [
        _captions(encoder, known, language, LEARNT_FROM, seed, interest)
        for language in SAY
        for interest in (captions.INTEREST, EVENLY)
    ]
    tried = {language: _captions(encoder, unseen, language, TRIED_ON, seed + 1) for language in SAY}
    names = list(faces.attribute_values())
    found: dict[str, dict[str, dict]] = {kind: {language: {} for language in SAY} for kind in KINDS}
    for kind in KINDS:
        vectors = torch.cat([part.vectors[kind] for part in learn])
        middle, spread = vectors.mean(0), vectors.std(0) + 1e-4
        said = torch.cat([part.said for part in learn])
        right = {language: {} for language in SAY}
        for a, name in enumerate(names):
            line = _fitted((vectors - middle) / spread, said[:, a])
            for language, part in tried.items():
                answers = line((part.vectors[kind] - middle) / spread).argmax(1)
                hit = answers == _shifted(part.said[:, a])
                right[language][name] = hit
                asked = part.said[:, a] != UNSAID
                found[kind][language][name] = (float(hit[asked].float().mean()), int(asked.sum()))
        for language, part in tried.items():
            hair, eyes = (part.said[:, names.index(n)] for n in ("hair_color", "eye_color"))
            words = [_colour(names, part.said, n) for n in ("hair_color", "eye_color")]
            two = torch.tensor([a != b for a, b in zip(*words, strict=True)])
            two &= (hair != UNSAID) & (eyes != UNSAID)
            both = right[language]["hair_color"] & right[language]["eye_color"]
            found[kind][language]["both colours"] = (
                float(both[two].float().mean()),
                int(two.sum()),
            )
    return found


def _colour(names: list[str], said: Tensor, name: str) -> list[str]:
    values = faces.attribute_values()[name]
    return [values[v] if v >= 0 else "" for v in said[:, names.index(name)].tolist()]


@torch.no_grad()
def _captions(
    encoder: TextEncoder,
    known: faces.Faces,
    language: str,
    number: int,
    seed: int,
    interest: Mapping[str, float] = captions.INTEREST,
) -> Probed:
    """Fresh captions of faces, some for each, and what the encoder makes of them."""
    rng = random.Random(f"{seed} probes {language}")
    place = captions.LANGUAGES.index(language)
    texts, said = [], []
    for face in known.attributes:
        for _ in range(number):
            facts, figure = captions.choose(face, rng, interest)
            texts.append(SAY[language](facts, figure[place], rng))
            said.append(in_numbers(facts))
    vectors: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    for i in range(0, len(texts), 256):
        thoughts = encoder.think(texts[i : i + 256])
        vectors["tokens"].append(thoughts.mean().cpu())
        vectors["vector"].append(thoughts.vector.cpu())
    return Probed({kind: torch.cat(parts) for kind, parts in vectors.items()}, torch.tensor(said))


def _fitted(vectors: Tensor, said: Tensor) -> nn.Linear:
    """Logistic regression on the captions that say something, by L-BFGS, with a little decay."""
    asked = said != UNSAID
    x, y = vectors[asked], _shifted(said[asked])
    line = nn.Linear(x.shape[1], int(y.max()) + 1)
    nn.init.zeros_(line.weight)
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(line(x), y) + 1e-4 * line.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return line.requires_grad_(False)


def _shifted(said: Tensor) -> Tensor:
    """Values from 0 on: "any kind" (-2) comes first, then "not said" (-1), then the values."""
    return said + 2


def table(found: dict[str, dict[str, dict]]) -> str:
    """`probe`'s answer as Markdown, in percent."""
    heads = [f"{kind}, {language}" for kind in found for language in found[kind]]
    lines = ["| what is said | captions | " + " | ".join(heads) + " |"]
    lines.append("|---|---|" + "---|" * len(heads))
    for name, (_, number) in found["tokens"]["en"].items():
        cells = [
            f"{100 * found[kind][lang][name][0]:.1f}" for kind in found for lang in found[kind]
        ]
        lines.append(f"| {name} | {number} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
