"""Pairs of faces and captions, true ones and others; what D learns from."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib import captions, faces, text
from course_lib.faces.captioned import in_numbers
from course_lib.pixels import to_float


class Told:
    """Faces, and of each a caption that is true and one that is not; a `training.Data`.

    The captions are others in every epoch, in both languages, and follow from the seed, the face
    and the epoch. `apart`: pairs of hair and eye colours that are left out, see `faces.held_apart`.
    """

    def __init__(
        self,
        known: faces.Faces,
        encode: Callable[[list[str]], Tensor],
        seed: int = 0,
        apart: bool = True,
    ):
        if apart:
            faces.Captioned(known, encode)  # refuses faces that nobody has described
            known = faces.without_apart(known)
        self.captioned = faces.Captioned(known, encode)
        self.known, self.encode, self.seed, self.epoch = known, encode, seed, 0

    def __len__(self) -> int:
        return len(self.known)

    def fingerprint(self) -> str:
        return self.captioned.fingerprint()

    def in_epoch(self, epoch: int) -> Told:
        other = copy(self)
        other.epoch = epoch
        return other

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of B faces: images (B, 3, S, S); tokens (2B, T) of the true captions and then of the
        others; what these say (2B, A); what is drawn (B, A): see `faces.Captioned`.
        """
        rows = np.asarray(indices)
        told = [self.tell(int(i)) for i in rows]
        both = [one[kind] for kind in range(2) for one in told]
        said = torch.tensor([in_numbers(facts) for _, facts in both])
        drawn = torch.from_numpy(self.captioned.drawn[rows].astype(np.int64))
        tokens = self.encode([sentence for sentence, _ in both])
        return to_float(self.known.images[rows]), tokens, said, drawn

    def tell(self, i: int) -> list[tuple[str, dict[str, str]]]:
        """A true caption of face i and its facts, and one in which a fact is another."""
        rng = random.Random(f"{self.seed} {i} {self.epoch} told")
        language = rng.choice(captions.LANGUAGES)
        interest = rng.choice((captions.INTEREST, text.EVENLY))
        facts, figure = captions.choose(self.known.attributes[i], rng, interest)
        figure = figure[captions.LANGUAGES.index(language)]
        return [
            (text.SAY[language](what, figure, rng), what)
            for what in (facts, text.mistaken(facts, rng))
        ]
