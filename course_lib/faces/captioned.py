"""Faces with captions, for trainings: other captions in every epoch, and yet the same each time."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib import pixels
from course_lib.captions import HIDDEN, LANGUAGES, NOT_DRAWN, describe_in
from course_lib.faces import checks
from course_lib.faces.checks import FacesError, attribute_values
from course_lib.faces.streamed import Streamed
from course_lib.faces.table import Faces

if TYPE_CHECKING:
    from torch import Tensor

# What stands for a value where there is no number of one. An attribute's values have their numbers
# from `attribute_values`, the attributes their order.
UNSAID = -1  # the caption says nothing about it
UNSEEN = -1  # it cannot be seen, such as the colour of closed eyes
ANY_KIND = -2  # the caption says "glasses", which may be of any kind
PROBE = ["a girl with red eyes", "红眼睛的女孩"]  # by which a fingerprint knows an encoder again


@dataclass(frozen=True, eq=False, repr=False)
class Captioned:
    """Faces, each with another of its captions in every epoch: a data set for `training.fit`.

    pictures: drawings of the course's own style: bundled, drawn, or streamed from what `Faces.save`
        wrote. FacesError for others.
    encode: captions, a list of B strings, → tokens, int64 (B, T).
    languages: those of the captions, equally often by chance.

    The caption of a face follows from the seed, its number and the epoch alone: a training that was
    interrupted goes on with the same, in whatever process, and needs no state for it.
    """

    pictures: Faces | Streamed
    encode: Callable[[list[str]], "Tensor"]
    languages: Sequence[str] = LANGUAGES
    seed: int = 0
    epoch: int = 0
    drawn: np.ndarray | None = None  # int8 (N, A), the values of all faces; found if not given

    def __post_init__(self) -> None:
        if not self.languages or isinstance(self.languages, str):
            raise FacesError(f'languages are some of {LANGUAGES}, such as ("en",)')
        for language in self.languages:
            if language not in LANGUAGES:
                raise checks.unknown("language", language, LANGUAGES)
        if self.drawn is None:
            object.__setattr__(self, "drawn", _values(self.pictures))

    def __len__(self) -> int:
        return len(self.pictures)

    def __repr__(self) -> str:
        return f"Captioned({self.pictures}, in {' and '.join(self.languages)}, epoch {self.epoch})"

    def in_epoch(self, epoch: int) -> "Captioned":
        """The same faces with the captions of that epoch."""
        return replace(self, epoch=epoch)

    def caption(self, i: int) -> tuple[str, dict[str, str]]:
        """What is said of face i in this epoch, and the facts it names: see `captions.Caption`."""
        rng = random.Random(f"{self.seed} {i} {self.epoch} caption")
        return describe_in(rng.choice(self.languages), _in_words(self.drawn[i]), rng)

    def tensor(self, indices: Any) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
        """Some faces and what their captions say.

        Returns images, float32 (B, 3, S, S) in [-1, 1]; tokens, int64 (B, T); said, int64 (B, A):
        the number of the value that the caption names for each attribute, `UNSAID` where it names
        none, `ANY_KIND` where it does not say which; drawn, int64 (B, A): the values that are in
        the picture, or `UNSEEN`. See `fits`.
        """
        import torch

        images, numbers = self.pictures.take(indices)
        captions = [self.caption(i) for i in numbers.tolist()]
        drawn = self.drawn[numbers].astype(np.int64)
        said = np.array([in_numbers(facts) for _, facts in captions], np.int64)
        said = said.reshape(drawn.shape)  # of none, too
        tokens = self.encode([text for text, _ in captions])
        return pixels.to_float(images), tokens, torch.from_numpy(said), torch.from_numpy(drawn)

    def fingerprint(self) -> str:
        """12 hexadecimal digits that other pictures, captions or tokens would not have."""
        about = [self.pictures.fingerprint(), list(self.languages), self.seed]
        about.append(self.encode(PROBE).tolist())
        return hashlib.blake2b(json.dumps(about).encode(), digest_size=6).hexdigest()


def fits(said: "Tensor", drawn: "Tensor") -> "Tensor":
    """Whether captions are true of faces: all that is said of one is drawn.

    said, drawn: as `Captioned.tensor` gives them, (…, A); they are broadcast, so that
    `fits(said[:, None], drawn)` says which of B captions fit which of B faces, bool (B, B).
    """
    values = attribute_values().values()
    no = [known.index(NOT_DRAWN) if NOT_DRAWN in known else UNSEEN for known in values]
    visible = (drawn != UNSEEN) & (drawn != drawn.new_tensor(no))
    return ((said == UNSAID) | (said == drawn) | (said == ANY_KIND) & visible).all(-1)


def _values(pictures: Faces | Streamed) -> np.ndarray:
    """The numbers of what is drawn in all faces, int8 (N, A)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = attribute_values()
    if isinstance(pictures, Streamed) and pictures.known is not None:
        column = pictures.known.with_format("arrow")[:]["attributes"]
    elif isinstance(pictures, Faces) and pictures.attributes is not None:
        column = pa.array(pictures.attributes, pa.struct(dict.fromkeys(known, pa.string())))
    else:
        raise checks.no_attributes(pictures.name)
    values = np.empty((len(pictures), len(known)), np.int8)
    for a, (name, names) in enumerate(known.items()):
        found = pc.index_in(pc.struct_field(column, name), pa.array([*names, HIDDEN]))
        if found.null_count:
            i = np.flatnonzero(found.is_null())[0]
            raise FacesError(f"{pictures.name}: face {i} has no {name} that the course knows")
        values[:, a] = found.to_numpy()
    values[values == [len(names) for names in known.values()]] = UNSEEN
    return values


def _in_words(values: np.ndarray) -> dict[str, str]:
    """One face's attributes, such as {"hair_color": "red", …}, from its row of `_values`."""
    return {
        name: HIDDEN if value == UNSEEN else names[value]
        for (name, names), value in zip(attribute_values().items(), values.tolist(), strict=True)
    }


def in_numbers(facts: dict[str, str]) -> list[int]:
    """The facts of a caption as numbers, one for each attribute."""
    return [
        UNSAID
        if name not in facts
        else names.index(facts[name])
        if facts[name] in names
        else ANY_KIND
        for name, names in attribute_values().items()
    ]


def held_apart(attributes: Mapping[str, str]) -> bool:
    """Whether this pair of hair and eye colour is one that no painter here ever sees in training.

    A tenth or so of the pairs; each colour is seen in many others.
    """
    values = attribute_values()
    if attributes["eye_color"] not in values["eye_color"]:
        return False  # closed eyes
    hair = values["hair_color"].index(attributes["hair_color"])
    eyes = values["eye_color"].index(attributes["eye_color"])
    return (hair + 2 * eyes) % 10 == 3


def without_apart(known: Faces) -> Faces:
    """The faces that are to be learnt from: without the pairs that are held apart.

    FacesError when their attributes are unknown.
    """
    if known.attributes is None:
        raise checks.no_attributes(known.name)
    return known[[i for i, row in enumerate(known.attributes) if not held_apart(row)]]
