"""How the judge learns: drawings of its own, spoilt a little, as a painting network might."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import faces, training
from course_lib.judge.network import Judge, JudgeError
from course_lib.judge.trust import accuracy, calibrate, label_numbers, recolour, report
from course_lib.pixels import to_float

APART = 100  # mean square difference of 255 levels; a copy in 256 colours is about 2 away


@dataclass(frozen=True)
class Recipe:
    """What the judge's training is made of, apart from the data and the network's size."""

    drawn: tuple[tuple[int, int], ...] = ((101, 3000), (102, 3000))  # more faces: seed, how many
    validation: tuple[tuple[int, int], ...] = ((103, 3000),)  # these say how sure it may be
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    average: float = 0.995


PRESETS = {
    "judge": training.Preset(
        "the course's judge, 16 minutes on a CPU with 16-bit floats, else an hour", Recipe(),
        456_000, sizes={"width": 24, "hidden": 256}, weights="judge",
    ),
    "quick": training.Preset(
        "seconds: it has only begun", Recipe(drawn=(), validation=((103, 100),)), 2_000,
        sizes={"width": 8, "hidden": 64},
    ),
}  # fmt: skip


def build(
    data: faces.Faces,
    recipe: Recipe = PRESETS["judge"].recipe,
    *,
    width: int = 24,
    hidden: int = 256,
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """A judge that learns from `data` and the recipe's new drawings, ready to be trained.

    width, hidden: of `Judge`. JudgeError when what is drawn in the faces is not known, or when a
    held-out face, or a copy of one, is among them.
    """
    if getattr(data, "attributes", None) is None:
        raise JudgeError(
            f"{data!r}: to learn what is drawn, the judge has to be told: take bundled"
        )
    known = [data, *_drawn(recipe.drawn)]
    if distance_to_nearest(faces.load("held-out"), known) < APART:
        raise JudgeError("a held-out face is among the training faces: choose other seeds")
    accelerator = training.make_accelerator(precision)
    torch.manual_seed(training.derive(seed, "weights"))
    network = Judge(width=width, hidden=hidden)
    network.to(accelerator.device, memory_format=torch.channels_last)
    average = training.EMA(network, recipe.average)
    fused = accelerator.device.type in ("cpu", "cuda")
    optimiser = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused
    )
    learner, prepared = accelerator.prepare(network, optimiser)

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, labels = batch
        logits = learner(augment(images.clone()))  # augmented in 32 bits: places need them
        losses = [
            F.cross_entropy(answer, label, ignore_index=-1, reduction="sum")
            / (label != -1).sum().clamp(min=1)  # a small batch may show none
            for answer, label in zip(logits.values(), labels.T, strict=True)
        ]
        loss = torch.stack(losses).mean()
        prepared.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        prepared.step()
        return {"loss": loss}

    def result() -> Judge:
        _calibrate(average.network, _drawn(recipe.validation))
        return average.network

    return training.Training(
        step=step,
        data=Labelled(known),
        recipe=recipe,
        keep={"network": network, "optimiser": prepared, "average": average},
        result=result,
        config={"values": list(network.values.items()), "width": width, "hidden": hidden},
        accelerator=accelerator,
        seed=seed,
        flip=True,  # no attribute has a side
        schedule=training.one_cycle(),
        figures=lambda judge: _figures(judge, _drawn(recipe.validation)),
    )


class Labelled:
    """Faces with the numbers of their values; a `training.Data`."""

    def __init__(self, known: Sequence[faces.Faces]):
        self.images = np.concatenate([part.images for part in known])
        self.labels = torch.stack(list(_labels(known).values()), 1)
        self.prints = "+".join(part.fingerprint() for part in known)

    def __len__(self) -> int:
        return len(self.images)

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor]:
        """Images (B, 3, 64, 64) in [-1, 1], labels (B, attributes); -1 cannot be seen."""
        return to_float(self.images[indices]), self.labels[torch.as_tensor(indices)]

    def fingerprint(self) -> str:
        return self.prints


@cache
def _drawn(drawings: tuple[tuple[int, int], ...]) -> list[faces.Faces]:
    return [faces.render(number, seed) for seed, number in drawings]


def _labels(known: Sequence[faces.Faces]) -> dict[str, Tensor]:
    parts = [label_numbers(part) for part in known]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


# What may have happened to a picture


def augment(images: Tensor) -> Tensor:
    """Pictures (B, 3, 64, 64) as a painting network might have made them.

    Some are moved, blurred, in slightly other colours, noisy.
    Never of another hue: it is what is to be learnt. Each change is worked out for the pictures
    that it falls on only, which halves the time.
    """
    for share, change in ((0.4, move), (0.35, soften), (0.6, tint), (0.5, grain)):
        chosen = torch.rand(len(images), device=images.device) < share
        images[chosen] = change(images[chosen])
    return images.clamp(-1, 1)


def move(images: Tensor) -> Tensor:
    """Shifted by up to 3 pixels, scaled and tilted a little."""
    scale = uniform(images, 0.94, 1.06).flatten()
    angle = uniform(images, -0.06, 0.06).flatten()  # radians
    right, down = (uniform(images, -0.1, 0.1).flatten() for _ in range(2))  # of half a side
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cosine, -sine, right], 1), torch.stack([sine, cosine, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def soften(images: Tensor) -> Tensor:
    """Blurred with a sigma of 1.4 pixels, and mixed with the sharp picture in any proportion."""
    blurred = images
    for _ in range(4):  # each of these kernels has a variance of ½ pixel²
        for dim in (2, 3):
            padded = F.pad(blurred, (1, 1, 0, 0) if dim == 3 else (0, 0, 1, 1), mode="replicate")
            before, middle, after = (padded.narrow(dim, i, images.shape[dim]) for i in range(3))
            blurred = (before + after).add(middle, alpha=2).div_(4)
    return torch.lerp(images, blurred, uniform(images, 0.1, 1))


def tint(images: Tensor) -> Tensor:
    """A little brighter or darker, with more or less contrast and saturation."""
    limits = (0.1, 0.12, 0.2)
    return recolour(images, *(uniform(images, -limit, limit) for limit in limits))


def grain(images: Tensor) -> Tensor:
    return images + uniform(images, 0, 0.16) * torch.randn_like(images)


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """A number for each picture, (B, 1, 1, 1)."""
    return torch.empty((len(images), 1, 1, 1), device=images.device).uniform_(low, high)


# Before and afterwards


def distance_to_nearest(held_out: faces.Faces, known: list[faces.Faces]) -> float:
    """The smallest mean square difference between a held-out and a training face.

    At a quarter of the size, where a picture and its copy in 256 colours are the same.
    """
    if set(held_out.seeds) & {seed for part in known for seed in part.seeds}:
        return 0.0

    def small(part: faces.Faces) -> Tensor:
        return F.avg_pool2d((part.tensor() + 1) * 127.5, 4).flatten(1).double()

    ours = small(held_out)
    nearest = min(float(torch.cdist(ours, small(part)).min()) for part in known)
    return nearest**2 / ours.shape[1]


def _calibrate(judge: Judge, validation: Sequence[faces.Faces]) -> None:
    """Temperatures from new faces as they are and disturbed, since it will judge both."""
    images = torch.cat([part.tensor() for part in validation])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        disturbed = torch.cat([augment(batch.clone()) for batch in images.split(256)])
    device = judge.temperature.device
    labels = {name: column.repeat(2).to(device) for name, column in _labels(validation).items()}
    calibrate(judge, torch.cat([images, disturbed]).to(device), labels)


def _figures(judge: Judge, validation: Sequence[faces.Faces]) -> dict[str, Any]:
    """For the manifest: how sure it may be, and how often it is right on new faces."""
    checked = [accuracy(part, judge=judge) for part in validation]
    rows, _ = report(faces.load("held-out"), judge)
    return {
        "temperature": {
            name: round(float(value), 2)
            for name, value in zip(judge.values, judge.temperature, strict=True)
        },
        "accuracy_validation": {
            name: round(
                sum(one[name].right for one in checked) / sum(one[name].total for one in checked), 4
            )
            for name in judge.values
        },
        "accuracy_held_out": {row["attribute"]: round(row["accuracy"], 4) for row in rows},
    }
