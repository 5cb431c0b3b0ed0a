"""A whole training: recipes, presets, `build`, and one call that loads or trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_lib import dcgan, faces, pretrained, text, training
from course_lib.conditional_gan.following import WEIGHTS, follow, paint
from course_lib.conditional_gan.pairs import Told
from course_lib.conditional_gan.players import (
    NOISE_SIZE,
    Discriminator,
    Generator,
)
from course_lib.conditional_gan.step import conditional_step
from course_lib.errors import CourseError
from course_lib.training import Preset


@dataclass(frozen=True)
class Recipe:
    """What a training is made of, apart from the data and the size of the networks."""

    mismatched: str = "all"  # of `conditional_step`
    sees_words: bool = True  # or D looks at the image alone
    relative: bool = True  # true pairs above the others, wherever 0 is
    contrast: float = 1.0
    variety: float = 4.0
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-4
    betas: tuple[float, float] = (0.0, 0.99)
    batch_size: int = 32
    average: float = 0.999
    penalty: float = 5.0
    penalty_share: float = 1 / 16
    flip: bool = True
    decay_from: float = 0.6


PRESETS = {
    "words": Preset(
        "the course's painter of words, hours on a CPU", Recipe(), 600_000,
        data="drawn:20000", fit={"pictures_every": 500, "save_every": 250},
        weights=WEIGHTS,
    ),
    "quick": Preset("seconds: it has only begun", Recipe(average=0.98), 6_400, sizes={"width": 16}),
    "full": Preset("minutes on a GPU: as much as the course's", Recipe(), 600_000),
}  # fmt: skip

# What is painted during a training, eight faces each.
WATCHED = (
    "red eyes", "蓝色长发", "blonde twintails, blue eyes", "a smiling girl with red hair",
    "戴眼镜，黑发", "pink bob, green eyes, cat ears", "一个微笑的女孩，紫色双马尾", "",
)  # fmt: skip


class Trained(NamedTuple):
    generator: Generator  # the average; ready to paint
    history: training.History


def build(
    data: faces.Faces,
    recipe: Recipe = PRESETS["words"].recipe,
    *,
    width: int = 32,
    image_size: int = 64,
    seed: int = 0,
    precision: str | None = None,
    encoder: text.TextEncoder | None = None,
) -> training.Training:
    """A conditional GAN on `data`, faces with attributes: `build(…).fit(images=600_000)`.

    width: of both networks. encoder: of sentences; the course's own by default. It does not change.
    The same seed gives the same first weights, noise, captions and order to every recipe.
    FacesError when what is drawn in the faces is not known; CourseError for several processes.
    """
    accelerator = training.make_accelerator(precision)
    if accelerator.num_processes > 1:  # D is asked in parts, of which gradients are not averaged
        raise CourseError("the conditional GAN trains in one process: start it without torchrun")
    device = accelerator.device
    encoder = encoder or text.load()
    told = Told(data, encoder.tokens, seed=seed)
    G, D = (
        net.to(device, memory_format=torch.channels_last)
        for net in networks(recipe, encoder, width, image_size, seed)
    )
    average = training.EMA(G, recipe.average)
    adam = partial(torch.optim.Adam, betas=recipe.betas, fused=device.type in ("cpu", "cuda"))
    G_optimiser = adam(G.parameters(), recipe.generator_rate)
    D_optimiser = adam(D.parameters(), recipe.discriminator_rate)
    parts = accelerator.prepare(G, D, G_optimiser, D_optimiser)
    lottery = torch.Generator().manual_seed(training.derive(seed, "penalty"))
    noise, thoughts = _watched(encoder, seed)
    encode = partial(_vectors, encoder)
    options = ("mismatched", "relative", "contrast", "variety", "penalty", "penalty_share")
    step = partial(
        conditional_step, *parts, encode=encode, backward=accelerator.backward,
        autocast=accelerator.autocast, lottery=lottery,
        **{name: getattr(recipe, name) for name in options},
    )  # fmt: skip

    def result() -> Generator:
        return _finished(average.network, encode, told, seed)

    return training.Training(
        step=step,
        data=told,
        recipe=recipe,
        keep={
            "generator": G,
            "discriminator": D,
            "average": average,
            "generator_optimiser": parts[2],
            "discriminator_optimiser": parts[3],
            "lottery": lottery,
        },
        result=result,
        config={"thought_size": G.thought_size, "width": width, "image_size": image_size},
        accelerator=accelerator,
        seed=seed,
        flip=recipe.flip,
        schedule=training.linear_decay(recipe.decay_from) if recipe.decay_from < 1 else None,
        pictures=lambda: paint(result(), noise, thoughts),
        watch=lambda: text.in_brief(follow(result(), encoder, 300)),
        figures=lambda generator: {"obedience": text.in_brief(follow(generator, encoder))},
    )


@torch.no_grad()
def _vectors(encoder: text.TextEncoder, tokens: Tensor) -> Tensor:
    return encoder(tokens).vector


def networks(
    recipe: Recipe, encoder: text.TextEncoder, width: int, image_size: int, seed: int
) -> tuple[Generator, Discriminator]:
    """G and D as a training with that seed begins."""
    torch.manual_seed(training.derive(seed, "weights"))
    size = encoder.projection.out_features
    G = Generator(NOISE_SIZE, size, width, image_size).apply(dcgan.initialise_weights)
    D = Discriminator(size, width, image_size, sees_words=recipe.sees_words)
    return G, D.apply(dcgan.initialise_weights)


def _watched(encoder: text.TextEncoder, seed: int) -> tuple[Tensor, Tensor]:
    """Always the same noise (64, Z) and thoughts (64, N), to see what becomes of them."""
    film = torch.Generator().manual_seed(training.derive(seed, "film"))
    thoughts = encoder.think(WATCHED).vector.repeat_interleave(8, 0)
    return torch.randn(64, NOISE_SIZE, generator=film).to(thoughts.device), thoughts


def _finished(
    painter: Generator, encode: Callable[[Tensor], Tensor], told: Told, seed: int
) -> Generator:
    """A copy to paint with, its BatchNorm statistics measured anew for these very weights."""
    result = deepcopy(painter).requires_grad_(True)
    device = next(result.parameters()).device
    chance = torch.Generator().manual_seed(training.derive(seed, "statistics"))
    noises = torch.randn(8, 64, painter.noise_size, generator=chance).to(device)
    rows = torch.randint(len(told), (8, 64), generator=chance).tolist()

    def inputs() -> Iterator[tuple[Tensor, Tensor]]:
        for noise, some in zip(noises, rows, strict=True):
            captions_ = [told.tell(i)[0][0] for i in some]
            yield noise, encode(told.encode(captions_).to(device))

    training.refresh_batchnorm(result, inputs())
    return result.eval()


def train(
    data: faces.Faces,
    recipe: Recipe = PRESETS["words"].recipe,
    *,
    images: int,
    width: int = 32,
    seed: int = 0,
    precision: str | None = None,
    **options: Any,
) -> Trained:
    """`build`, then train until the networks have seen `images` pictures; options: `fit`'s."""
    plan = build(data, recipe, width=width, seed=seed, precision=precision)
    history = plan.fit(images, **options)
    return Trained(plan.result(), history)


def load_or_train(budget: str, data: faces.Faces | None = None, **options: Any) -> Trained:
    """One call for all, as `dcgan.load_or_train`: "pretrained", "quick" or "full"."""
    if budget == "pretrained":
        batch_size = pretrained.describe(WEIGHTS)["training"]["recipe"]["batch_size"]
        history = training.History(batch_size, snapshots=pretrained.film(WEIGHTS))
        return Trained(pretrained.load(WEIGHTS, Generator), history)
    if budget not in ("quick", "full"):
        raise CourseError(f"budget {budget!r} is unknown; choose one of pretrained, quick, full")
    if data is None:
        raise CourseError(f'a {budget} training needs data, such as faces.load("train")')
    preset = PRESETS[budget]
    chosen = {"recipe": preset.recipe, "images": preset.images, **preset.sizes}
    return train(data, **chosen | options)
