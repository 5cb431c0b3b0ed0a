"""Recipes, and a whole training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_lib import faces, pretrained, training
from course_lib.dcgan.players import NOISE_SIZE, Discriminator, Generator, initialise_weights
from course_lib.dcgan.step import adversarial_step, augment, tutorial_step
from course_lib.dcgan.styled import ComparingDiscriminator, StyledGenerator
from course_lib.errors import CourseError
from course_lib.pixels import evaluating
from course_lib.training import Preset


@dataclass(frozen=True)
class Recipe:
    """What a training is made of, apart from the data and the size of the networks."""

    loss: str  # "tutorial": the article's step; else a loss of `adversarial_step`
    normalization: str  # of D
    generator_rate: float  # Adam's learning rates
    discriminator_rate: float
    betas: tuple[float, float]  # Adam's averages of the gradient and of its square
    batch_size: int
    average: float = 0.0  # decay of G's EMA; 0: paint with the last weights
    penalty: float = 0.0
    penalty_share: float = 1 / 16  # of the steps
    flip: bool = False
    shift: float = 0.0  # of `augment`
    cutout: float = 0.0
    leak: float = 0.2  # of D's LeakyReLU
    decay_from: float = 1.0  # from this part of the training on, the rates fall to 0


TUTORIAL = Recipe("tutorial", "batch", 2e-4, 2e-4, (0.5, 0.999), batch_size=128)
HINGE = Recipe("hinge", "spectral", 2e-4, 4e-4, (0.0, 0.999), 64, average=0.998, flip=True)
R1 = Recipe("bce", "none", 5e-4, 5e-4, (0.0, 0.99), 32, average=0.998, penalty=10.0, flip=True)


CALM = replace(R1, average=0.999, decay_from=0.6)  # a long, calm end

# The first moments are closer together: there is more to see.
FILM = {0, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 900}
AT_LENGTH = {"pictures_every": FILM | set(range(1000, 100_000, 1000)), "save_every": 1000}

PRESETS = {
    "faces": Preset(
        "the course's painter, an hour on a CPU", CALM, 450_000,
        sizes={"width": 32, "styled": True, "held_out": "held-out"},
        fit=AT_LENGTH,
        weights="faces-styled",
    ),
    "faces-dcgan": Preset(
        "the article's networks, an hour on a CPU", CALM, 600_000,
        sizes={"width": 32, "held_out": "held-out"},
        fit=AT_LENGTH,
        weights="faces-dcgan",
    ),
    "quick": Preset("seconds: it has only begun", R1, 4_000, sizes={"width": 24}),
    "full": Preset("minutes on a GPU", CALM, 600_000, sizes={"width": 32}),
    "tutorial": Preset("the article's recipe", TUTORIAL, 1_000_000, sizes={"width": 64}),
    "anime-faces": Preset(
        "21,551 collected faces from the Hub, for a GPU", CALM, 2_000_000,
        data="huggan/anime-faces", sizes={"width": 64},
    ),
}  # fmt: skip


class Trained(NamedTuple):
    generator: nn.Module  # the average, where the recipe has one; ready to paint
    history: training.History


def networks(
    recipe: Recipe, width: int, image_size: int, seed: int, styled: bool = False
) -> tuple[nn.Module, nn.Module]:
    """G and D as a training with that seed begins: the same for recipes with the same layers.

    The article's, or those of `styled`; CourseError for a recipe that these cannot follow.
    """
    torch.manual_seed(training.derive(seed, "weights"))
    if styled:
        if recipe.normalization != "none" or recipe.loss == "tutorial":
            raise CourseError(
                "the styled networks' discriminator has no BatchNorm and no sigmoid: choose a "
                "recipe such as dcgan.R1"
            )
        G = StyledGenerator(NOISE_SIZE, width, image_size=image_size)
        D = ComparingDiscriminator(width, image_size=image_size, leak=recipe.leak)
        return G, D.apply(initialise_weights)
    G = Generator(NOISE_SIZE, width, image_size=image_size).apply(initialise_weights)
    D = Discriminator(
        width,
        image_size=image_size,
        normalization=recipe.normalization,
        sigmoid=recipe.loss == "tutorial",
        leak=recipe.leak,
    ).apply(initialise_weights)
    return G, D


def build(
    data: training.Data,
    recipe: Recipe = R1,
    *,
    width: int = 32,
    image_size: int = 64,
    styled: bool = False,
    seed: int = 0,
    precision: str | None = None,
    held_out: training.Data | str | None = None,
) -> training.Training:
    """A DCGAN on `data`, ready to be trained: `build(…).fit(images=600_000)`.

    width: of both networks. styled: with `StyledGenerator` and `ComparingDiscriminator`.
    held_out: faces D never learns from, or the name of a bundled split; the history then tells what
    D thinks of them. The same seed gives the same first weights, noise and order of pictures to
    every recipe. With several processes BatchNorm stays each one's own: it sees as many pictures as
    in one. CourseError where pictures and networks differ in size.
    """
    side = data.tensor([0]).shape[-1] if len(data) else image_size
    if side != image_size:
        raise CourseError(
            f"the pictures are {side}×{side}, the networks {image_size}×{image_size}: load them "
            f"with size={image_size}, or give their size as image_size (32, 64 or 128)"
        )
    held_out = faces.load(held_out) if isinstance(held_out, str) else held_out
    accelerator = training.make_accelerator(precision)
    device = accelerator.device
    if recipe.loss == "tutorial" and accelerator.mixed_precision == "fp16":
        raise CourseError("the tutorial's step does not scale its losses, as fp16 needs: take bf16")
    G, D = (
        net.to(device, memory_format=torch.channels_last)  # CPUs' and GPUs' own order
        for net in networks(recipe, width, image_size, seed, styled)
    )
    average = training.EMA(G, recipe.average) if recipe.average else None
    adam = partial(  # fused: the update in one pass
        torch.optim.Adam, betas=recipe.betas, fused=device.type in ("cpu", "cuda")
    )
    G_optimiser = adam(G.parameters(), recipe.generator_rate)
    D_optimiser = adam(D.parameters(), recipe.discriminator_rate)
    parts = accelerator.prepare(G, D, G_optimiser, D_optimiser)
    # The same in every process, so that all take the penalty in the same steps.
    lottery = torch.Generator().manual_seed(training.derive(seed, "penalty"))
    film = torch.Generator().manual_seed(training.derive(seed, "film"))
    fixed_noise = torch.randn(64, NOISE_SIZE, generator=film).to(device)
    result = partial(_finished, average.network if average else G, seed)
    return training.Training(
        step=_step(recipe, parts, accelerator.backward, lottery),
        data=data,
        recipe=recipe,
        keep={
            "generator": G,
            "discriminator": D,
            **({"average": average} if average else {}),
            "generator_optimiser": parts[2],
            "discriminator_optimiser": parts[3],
            "lottery": lottery,
        },
        result=result,
        config={"width": width, "image_size": image_size},
        accelerator=accelerator,
        seed=seed,
        flip=recipe.flip,
        schedule=training.linear_decay(recipe.decay_from) if recipe.decay_from < 1 else None,
        pictures=lambda: paint(result(), fixed_noise),
        watch=partial(_verdicts, D, data, held_out, device) if held_out is not None else None,
    )


def _step(
    recipe: Recipe, parts: Sequence, backward: Callable[[Tensor], None], lottery: torch.Generator
) -> training.Step:
    """The recipe's step, with the networks and optimisers it changes."""
    if recipe.loss == "tutorial":
        return partial(tutorial_step, *parts)
    changed = partial(augment, shift=recipe.shift, cutout=recipe.cutout)
    return partial(
        adversarial_step,
        *parts,
        loss=recipe.loss,
        penalty=recipe.penalty,
        penalty_share=recipe.penalty_share,
        augment=changed if recipe.shift or recipe.cutout else None,
        backward=backward,
        lottery=lottery,
    )


def _finished(painter: nn.Module, seed: int) -> nn.Module:
    """A copy to paint with, its BatchNorm statistics measured anew for these very weights."""
    result = deepcopy(painter).requires_grad_(True)
    statistics = torch.Generator().manual_seed(training.derive(seed, "statistics"))
    noises = torch.randn(8, 64, NOISE_SIZE, generator=statistics)
    training.refresh_batchnorm(result, iter(noises.to(next(result.parameters()).device)))
    return result.eval()


def train(
    data: training.Data,
    recipe: Recipe = R1,
    *,
    images: int,
    width: int = 32,
    image_size: int = 64,
    styled: bool = False,
    seed: int = 0,
    precision: str | None = None,
    held_out: training.Data | None = None,
    **options: Any,
) -> Trained:
    """`build`, then train until the networks have seen `images` pictures.

    options: `training.fit`'s (folder, max_minutes, pictures_every, …).
    """
    plan = build(
        data, recipe, width=width, image_size=image_size, styled=styled, seed=seed,
        precision=precision, held_out=held_out,
    )  # fmt: skip
    history = plan.fit(images, **options)
    return Trained(plan.result(), history)


def load_or_train(budget: str, data: training.Data | None = None, **options: Any) -> Trained:
    """One call for all: "pretrained" loads the committed generator, the others train one on `data`.

    budget: "pretrained", or what `settings.budget()` says: "quick" (seconds; a narrow network that
    has only begun) or "full" (for a GPU), both as in `PRESETS`. options: `train`'s.
    """
    if budget == "pretrained":
        name = PRESETS["faces"].weights
        batch_size = pretrained.describe(name)["training"]["recipe"]["batch_size"]
        history = training.History(batch_size, snapshots=pretrained.film(name))
        return Trained(pretrained.load(name, StyledGenerator), history)
    if budget not in ("quick", "full"):
        raise CourseError(f"budget {budget!r} is unknown; choose one of pretrained, quick, full")
    if data is None:
        raise CourseError(f'a {budget} training needs data, such as faces.load("train")')
    preset = PRESETS[budget]
    chosen = {"recipe": preset.recipe, "images": preset.images, **preset.sizes}
    return train(data, **chosen | options)


@torch.no_grad()
def paint(generator: nn.Module, noise: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) from noise, with BatchNorm's stored statistics.

    In evaluation mode a picture depends on its own noise alone, not on the others of its batch.
    """
    with evaluating(generator):
        return generator(noise)


@torch.no_grad()
def _verdicts(
    discriminator: nn.Module, learnt: training.Data, held_out: training.Data, device: torch.device
) -> dict[str, float]:
    """D's mean verdict on faces it learns from and on faces it has never seen."""
    number = min(256, len(learnt), len(held_out))
    with evaluating(discriminator):
        return {
            name: discriminator(data.tensor(range(number)).to(device)).mean().item()
            for name, data in (("D(x) learnt", learnt), ("D(x) held out", held_out))
        }
