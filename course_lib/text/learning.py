"""How the text encoder learns: which captions are true of which faces.

As in CLIP (Radford et al. 2021, arXiv 2103.00020), captions and faces become vectors, and a caption
must be nearer to its own face than to others. Three things differ, because here it is known what is
drawn. A caption that happens to be true of another face of the batch is not held against it. Of
each caption there is a second one in which one fact is wrong, or two colours have changed places:
"blue hair, red eyes" must not mean "red hair, blue eyes". And not only the thought vector is
compared, but also the mean of the tokens, which lesson 5 looks at.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import captions, faces, judge, training
from course_lib.faces.captioned import UNSAID, fits, in_numbers
from course_lib.text.encoder import Thoughts
from course_lib.text.facts import SIMPLIFIED, TRADITIONAL
from course_lib.text.sight import Clip

COLOURS = ("hair_color", "eye_color", "ribbon_color", "clothes_color", "background")
SAY = {"en": captions.in_english, "zh": captions.in_chinese}
TO_TRADITIONAL = str.maketrans(SIMPLIFIED, TRADITIONAL)
EVENLY: dict[str, float] = {}  # an interest: each attribute is named as often
CHUNKS = 4  # of a batch, sorted by length: less padding to compute


@dataclass(frozen=True)
class Recipe:
    """What the training is made of, apart from the data and the encoder's size."""

    batch_size: int = 64  # faces, each with two captions and two wrong ones
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    tokens: float = 1.0  # weight of the contrast by the mean of the tokens
    reading: float = 2.0  # weight of the question which value of each attribute is said


PRESETS = {
    "text": training.Preset(
        "the course's text encoder, in English and Chinese", Recipe(), 400_000, weights="text"
    ),
    "quick": training.Preset(
        "seconds: it has only begun", Recipe(batch_size=16), 640,
        sizes={"width": 32, "layers": 1, "heads": 2},
    ),
}  # fmt: skip


def build(
    data: faces.Faces,
    recipe: Recipe = PRESETS["text"].recipe,
    *,
    width: int = 128,
    layers: int = 3,
    heads: int = 4,
    languages: Sequence[str] = captions.LANGUAGES,
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """A text encoder that learns what can be said of `data`, faces with attributes.

    The image encoder is the judge, which does not change, and a small network on top that does.
    width, layers, heads: of `TextEncoder`. languages: of the captions. FacesError when what is
    drawn is not known.
    """
    accelerator = training.make_accelerator(precision)
    device = accelerator.device
    torch.manual_seed(training.derive(seed, "weights"))
    features = _judged(data)
    clip = Clip(width=width, layers=layers, heads=heads, features=features.shape[1]).to(device)
    encoder, sight = clip.encoder, clip.sight
    sight.measure(features)
    sayings = Sayings(data, features, encoder.tokens, languages, seed=seed)
    reader = Reader(width).to(device)
    networks = nn.ModuleDict({"clip": clip, "reader": reader})
    optimiser = torch.optim.AdamW(
        networks.parameters(), recipe.learning_rate, (0.9, 0.98), weight_decay=recipe.weight_decay
    )
    encode, see, read, prepared = accelerator.prepare(encoder, sight, reader, optimiser)

    def step(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        features, tokens, said, drawn = batch
        with accelerator.autocast():
            vectors, means = _by_length(encode, tokens)
            looks, looks_of_tokens, sharpness = see(features)
        true = fits(said[:, None], drawn)  # (texts, faces)
        losses = {
            "loss_vector": contrast(vectors, looks, true, sharpness),
            "loss_tokens": contrast(means, looks_of_tokens, true, sharpness),
        }
        loss = losses["loss_vector"] + recipe.tokens * losses["loss_tokens"]
        if recipe.reading:
            losses["loss_reading"] = read(means, said)
            loss = loss + recipe.reading * losses["loss_reading"]
        prepared.zero_grad()
        accelerator.backward(loss)
        nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        prepared.step()
        return losses

    return training.Training(
        step=step,
        data=sayings,
        recipe=recipe,
        keep={"networks": networks, "optimiser": prepared},
        result=lambda: clip.eval(),
        config={
            "words": encoder.words, "width": width, "layers": layers, "heads": heads,
            "features": features.shape[1],
        },
        accelerator=accelerator,
        seed=seed,
        schedule=training.one_cycle(),
    )  # fmt: skip


def contrast(texts: Tensor, looks: Tensor, true: Tensor, sharpness: Tensor) -> Tensor:
    """InfoNCE both ways (van den Oord et al. 2018, arXiv 1807.03748), knowing what is true.

    texts: (4B, W), vectors of B English and B Chinese captions, text i and B + i of face i, and of
    as many wrong ones. looks: (B, W), of the faces. true: bool (4B, B), which texts are true of
    which faces. A text among the first 2B is to be nearer to its own face than to any of which it
    is not true, and a face nearer to its texts than to any that is not true of it.
    """
    number, faces_ = len(texts) // 2, len(looks)
    near = sharpness * F.normalize(texts, dim=1) @ F.normalize(looks, dim=1).T
    own = torch.arange(number, device=texts.device) % faces_
    right = near[torch.arange(number, device=texts.device), own]
    wrong = near.masked_fill(true, -torch.inf)
    of_texts = torch.logaddexp(wrong[:number].logsumexp(1), right) - right
    of_faces = torch.logaddexp(wrong.logsumexp(0)[own], right) - right
    return (of_texts.mean() + of_faces.mean()) / 2


class Reader(nn.Module):
    """Asks of the mean of the tokens, linearly, which value of each attribute is said, or none."""

    def __init__(self, width: int):
        super().__init__()
        self.sizes = [len(values) + 2 for values in faces.attribute_values().values()]
        self.heads = nn.Linear(width, sum(self.sizes))

    def forward(self, means: Tensor, said: Tensor) -> Tensor:
        """Means (N, W) and what is said (N, A), as `Captioned.tensor` has it → a loss.

        What is said counts as much as all that is not, which is most, and easy.
        """
        answers = self.heads(means).split(self.sizes, dim=1)
        pairs = zip(answers, said.T, strict=True)
        losses = torch.stack([F.cross_entropy(a, s + 2, reduction="none") for a, s in pairs], 1)
        silent = said == UNSAID
        return losses[~silent].mean() + losses[silent].mean()


def _by_length(encode: Callable[[Tensor], Thoughts], tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors and means of all texts, (N, W) each, computed in parts of like length."""
    lengths = (tokens != 0).sum(1)
    parts = lengths.argsort().tensor_split(CHUNKS)
    thoughts = [encode(tokens[part, : int(lengths[part].max())]) for part in parts]
    back = torch.cat(parts).argsort()
    vectors = torch.cat([thought.vector for thought in thoughts])
    return vectors[back], torch.cat([thought.mean() for thought in thoughts])[back]


# What can be said


class Sayings:
    """Faces, of which the judge sees `features` (N, F), and captions, right and wrong.

    A `training.Data`. The captions are others in every epoch, and follow from the seed, the face
    and the epoch.
    """

    def __init__(
        self,
        known: faces.Faces,
        features: Tensor,
        encode: Callable[[list[str]], Tensor],
        languages: Sequence[str] = captions.LANGUAGES,
        seed: int = 0,
    ):
        captioned = faces.Captioned(known, encode)  # refuses faces that nobody has described
        self.known, self.encode, self.seed, self.epoch = known, encode, seed, 0
        self.languages = languages
        self.drawn = torch.from_numpy(captioned.drawn.astype(np.int64))
        self.features = features
        self.prints = captioned.fingerprint()

    def __len__(self) -> int:
        return len(self.known)

    def fingerprint(self) -> str:
        return self.prints

    def in_epoch(self, epoch: int) -> Sayings:
        other = copy(self)
        other.epoch = epoch
        return other

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of B faces: features (B, F); tokens (4B, T) and what they say (4B, A): an English and a
        Chinese caption of each, then the same with something wrong; what is drawn (B, A). Half as
        many texts where there is one language only.
        """
        said = [self.say(int(i)) for i in indices]
        texts = [one[kind] for kind in range(2 * len(self.languages)) for one in said]
        facts = torch.tensor([in_numbers(facts) for _, facts in texts])
        rows = torch.as_tensor(indices)
        tokens = self.encode([text for text, _ in texts])
        return self.features[rows], tokens, facts, self.drawn[rows]

    def say(self, i: int) -> list[tuple[str, dict[str, str]]]:
        """Captions with their facts: one that is true in each language, then one that is not."""
        rng = random.Random(f"{self.seed} {i} {self.epoch} sayings")
        right, wrong = [], []
        for language in self.languages:
            place = captions.LANGUAGES.index(language)
            interest = rng.choice((captions.INTEREST, EVENLY))  # else rare facts are learnt last
            facts, figure = captions.choose(self.known.attributes[i], rng, interest)
            other = mistaken(facts, rng) if rng.random() < 0.5 else invented(rng)
            for said, what in ((right, facts), (wrong, other)):
                text = SAY[language](what, figure[place], rng)
                said.append((rephrased(text, language, rng), what))
        return right + wrong


def mistaken(facts: dict[str, str], rng: random.Random) -> dict[str, str]:
    """The same facts, but one of them is another, or two colours have changed places."""
    colours = [name for name in COLOURS if name in facts]
    if len(colours) > 1 and rng.random() < 0.5:
        one, other = rng.sample(colours, 2)
        if facts[other] in _sayable(one) and facts[one] in _sayable(other):
            return facts | {one: facts[other], other: facts[one]}
    name = rng.choice(colours) if colours and rng.random() < 0.5 else rng.choice(list(facts))
    others = [value for value in _sayable(name) if value != facts[name]]
    return facts | {name: rng.choice(others)} if others else facts


def invented(rng: random.Random) -> dict[str, str]:
    """Facts of no face in particular: every attribute and value is as frequent as any other."""
    names = [name for name in faces.attribute_values() if name not in captions.COLOUR_OF]
    chosen = set(rng.sample(names, rng.randint(1, 5)))
    if "ribbon" in chosen:
        chosen.add("ribbon_color")
    facts = {
        name: rng.choice(_sayable(name)) for name in faces.attribute_values() if name in chosen
    }
    if facts.get("eye_shape") == "closed":
        facts.pop("eye_color", None)
    if facts.get("clothes") in ("hoodie", "sweater"):
        facts["clothes_color"] = rng.choice(_sayable("clothes_color"))
    if "glasses" in facts and rng.random() < 1 / 3:
        facts["glasses"] = "yes"
    return facts


def rephrased(text: str, language: str, rng: random.Random) -> str:
    """Now and then as captions do not say it: "eyes that are red", or traditional characters."""
    if language == "zh":
        return text.translate(TO_TRADITIONAL) if rng.random() < 0.15 else text
    found = re.search(_coloured(), text) if rng.random() < 0.2 else None
    if not found:
        return text
    verb = "are" if found[2] == "eyes" else "is"
    return f"{text[: found.start()]}{found[2]} that {verb} {found[1]}{text[found.end() :]}"


@cache
def _coloured() -> re.Pattern:
    entries = captions.vocabulary()["attributes"]
    names = {
        name for a in COLOURS[:2] for value in entries[a]["values"].values() for name in value["en"]
    }
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w-])({'|'.join(longest_first)}) (eyes|hair)\b(?! buns)")


@cache
def _sayable(name: str) -> list[str]:
    """The values of an attribute that captions have words for."""
    values = captions.vocabulary()["attributes"][name]["values"]
    return [value for value, entry in values.items() if entry["en"]]


@torch.no_grad()
def _judged(known: faces.Faces) -> Tensor:
    """What the judge sees in each face, (N, F)."""
    network = judge.load()
    device = network.temperature.device
    parts = [known[i : i + 256].tensor().to(device) for i in range(0, len(known), 256)]
    return torch.cat([network.summarise(part) for part in parts]).cpu()
