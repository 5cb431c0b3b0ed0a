"""Chinese for an English text encoder, as SkyPaint did it: from parallel sentences alone.

No picture is needed, and no painter: a student learns to say of the Chinese sentence what its
teacher, which knows only English, says of the English one. Whoever has learnt to listen to the
teacher understands the student. (Reimers & Gurevych 2020, arXiv 2004.09813; for pictures, Chen et
al. 2022, AltCLIP, arXiv 2211.06679.)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import captions, training
from course_lib.text.encoder import LENGTH, PAD, TextEncoder
from course_lib.text.learning import EVENLY, SAY, rephrased


@dataclass(frozen=True)
class DistillingRecipe:
    """What the training is made of, apart from the sentences."""

    batch_size: int = 128
    learning_rate: float = 1e-3


class Parallel:
    """The same facts in English and in Chinese; a `training.Data` of tokens (B, T) each.

    rows: what can be said, an attribute's value by its name. The sentences follow from the seed,
    the row and the epoch.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, str]],
        tokens: Callable[[list[str]], Tensor],
        seed: int = 0,
    ):
        self.rows, self.tokens, self.seed, self.epoch = rows, tokens, seed, 0

    def __len__(self) -> int:
        return len(self.rows)

    def in_epoch(self, epoch: int) -> Parallel:
        other = copy(self)
        other.epoch = epoch
        return other

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor]:
        pairs = [self.say(int(i)) for i in indices]
        return tuple(self.tokens([pair[language] for pair in pairs]) for language in range(2))

    def say(self, i: int) -> list[str]:
        """An English and a Chinese sentence that say the same."""
        rng = random.Random(f"{self.seed} {i} {self.epoch} parallel")
        interest = rng.choice((captions.INTEREST, EVENLY))
        facts, figure = captions.choose(self.rows[i], rng, interest)
        return [
            rephrased(SAY[language](facts, figure[place], rng), language, rng)
            for place, language in enumerate(captions.LANGUAGES)
        ]


def distil(
    teacher: TextEncoder,
    rows: Sequence[Mapping[str, str]],
    recipe: DistillingRecipe | None = None,
    *,
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """A bilingual student of an English-only teacher; it begins as the teacher's copy."""
    recipe = recipe or DistillingRecipe()
    accelerator = training.make_accelerator(precision)
    torch.manual_seed(training.derive(seed, "weights"))
    teacher = teacher.to(accelerator.device).requires_grad_(False).eval()
    student = deepcopy(teacher).requires_grad_(True)
    optimiser = accelerator.prepare(
        torch.optim.AdamW(student.parameters(), recipe.learning_rate, weight_decay=0.0)
    )

    step = partial(distil_step, student, teacher, optimiser, backward=accelerator.backward)
    return training.Training(
        step=step,
        data=Parallel(rows, teacher.tokens, seed),
        recipe=recipe,
        keep={"student": student, "optimiser": optimiser},
        result=lambda: student.eval(),
        config={},
        accelerator=accelerator,
        seed=seed,
        schedule=training.one_cycle(),
    )


def distil_step(
    student: TextEncoder,
    teacher: TextEncoder,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    *,
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> dict[str, Tensor]:
    """English as the teacher says it, and Chinese as the teacher says the English of it.

    batch: tokens of English sentences and of Chinese ones that say the same, (B, T) each.
    """
    english, chinese = (_full(tokens, teacher.end) for tokens in batch)  # with [SEP], to (B, 64)
    with torch.no_grad():
        target = teacher(english).states  # (B, 64, 128), a vector for each token
    in_english, in_chinese = student(english).states, student(chinese).states
    # Word by word the Chinese sentence has no counterpart; the [SEP]s that follow both have.
    both_over = ((english == teacher.end) & (chinese == teacher.end))[..., None]  # (B, 64, 1)
    errors = (in_chinese - target).square() * both_over
    losses = {
        "loss_english": F.mse_loss(in_english, target),
        "loss_chinese": errors.sum() / (both_over.sum() * target.shape[-1]),
    }
    optimiser.zero_grad()
    backward(losses["loss_english"] + losses["loss_chinese"])
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimiser.step()
    return losses


def _full(tokens: Tensor, end: int) -> Tensor:
    """Tokens (B, T) filled up with [SEP] to (B, 64), as a painter gets them."""
    full = F.pad(tokens, (0, LENGTH - tokens.shape[1]), value=PAD)
    return full.masked_fill(full == PAD, end)
