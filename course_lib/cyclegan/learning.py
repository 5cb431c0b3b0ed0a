"""A whole training: the recipe, presets, `build`, and one call that loads or trains."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_lib import faces, pretrained, training
from course_lib.cyclegan.domains import (
    AQUA_PURPLE,
    BLACK_BLONDE,
    COLOURS_BLACK,
    PAIRED_SEED,
    Domains,
    Unpaired,
    exact_pairs,
    of_domains,
)
from course_lib.cyclegan.players import Discriminator, Translators
from course_lib.cyclegan.step import Pool, cycle_step, paired_step
from course_lib.errors import CourseError
from course_lib.pixels import evaluating
from course_lib.training import Preset

PAIRS = 400  # that the bound learns from: about as many faces of a colour as are bundled


@dataclass(frozen=True)
class Recipe:
    """What a training is made of, apart from the data and the size of the networks."""

    domains: Domains = AQUA_PURPLE
    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 5.0
    through: float = 1.0  # the part of the cycle's gradient that reaches who went first
    paired: bool = False  # learn from exact pairs instead, and from nothing else
    pool: int = 50
    generator_rate: float = 1e-3
    discriminator_rate: float = 5e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch_size: int = 4
    average: float = 0.998
    decay_from: float = 0.5


IMAGES = 8_000
UNPAIRED = Recipe()
SHARP = replace(UNPAIRED, through=0.3)  # fewer errors beside the hair: measured, not explained
# With cycle 10 and identity 2 these two never begin: copying costs nothing but the opinion of the
# discriminators, and hair that is a little lighter costs more in the other two losses than it pays.
FAR_APART = Recipe(BLACK_BLONDE, cycle=3.0, identity=0.5)


def _kept(
    about: str, name: str, recipe: Recipe, images: int = IMAGES, sharp: bool = False, **changes: Any
) -> Preset:
    sizes = {"sharp": True} if sharp else {}
    return Preset(
        about, replace(recipe, **changes), images, sizes=sizes, weights=f"cyclegan-{name}"
    )


PRESETS = {
    "aqua-purple": _kept("hair of colours that nothing else has", "aqua-purple", SHARP, sharp=True),
    "black-blonde": _kept("hair of colours that other things have", "black-blonde", FAR_APART),
    "colours-black": _kept(
        "red, green and blue hair made black, and back",
        "colours-black",
        FAR_APART,
        domains=COLOURS_BLACK,
    ),
    "aqua-purple-paired": _kept(
        "bound of aqua-purple: the same networks, exact pairs",
        "aqua-purple-paired",
        UNPAIRED,
        sharp=True,
        paired=True,
    ),
    "soft": _kept("aqua ↔ purple by kernels of 3 to the end", "soft", UNPAIRED),
    "soft-paired": _kept("bound of soft", "soft-paired", UNPAIRED, paired=True),
    "black-blonde-paired": _kept(
        "bound of black-blonde", "black-blonde-paired", FAR_APART, paired=True
    ),
    "no-adversarial": _kept(
        "black to blonde without discriminators",
        "no-adversarial",
        FAR_APART,
        1_000,
        adversarial=0.0,
    ),
    "no-cycle": _kept("without the way back", "no-cycle", FAR_APART, 4_000, cycle=0.0),
    "no-identity": _kept("without identity loss", "no-identity", FAR_APART, 4_000, identity=0.0),
    # Not sharp: such networks begin sooner.
    "quick": Preset("seconds: it has only begun", replace(UNPAIRED, average=0.97), 600),
    "full": Preset("minutes on a GPU", SHARP, 60_000, sizes={"width": 32, "sharp": True}),
}


class Trained(NamedTuple):
    translators: Translators  # the average, ready to use
    history: training.History


def build(
    data: faces.Faces | Unpaired,
    recipe: Recipe = UNPAIRED,
    *,
    width: int = 24,
    sharp: bool = False,
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """A CycleGAN on `data`: `build(…).fit(images=8_000)`, counted in each domain.

    data: drawn faces, of which those with the recipe's hair colours are taken; or any two sets of
    pictures, as `Unpaired`. A paired recipe takes `Paired`; from drawn faces it takes only the
    number, and draws pairs of its own. width, sharp: of all networks. CourseError for several
    processes.
    """
    accelerator = training.make_accelerator(precision)
    if accelerator.num_processes > 1:  # DistributedDataParallel allows one pass forward a step
        raise CourseError("the CycleGAN trains in one process: start it without torchrun")
    if not isinstance(data, Unpaired):
        pairs = recipe.paired
        data = exact_pairs(PAIRS, recipe.domains, PAIRED_SEED) if pairs else of_domains(
            data, recipe.domains, seed
        )  # fmt: skip
    place = {"device": accelerator.device, "memory_format": torch.channels_last}
    translators, critics = (net.to(**place) for net in networks(width, seed, sharp))
    average = training.EMA(translators, recipe.average)
    adam = partial(
        torch.optim.Adam, betas=recipe.betas, fused=accelerator.device.type in ("cpu", "cuda")
    )
    parts = accelerator.prepare(
        translators.there,
        translators.back,
        *critics,
        adam(translators.parameters(), recipe.generator_rate),
        adam(critics.parameters(), recipe.discriminator_rate),
    )
    size = data.tensor([0])[0].shape[-1]
    pools = nn.ModuleList([Pool(recipe.pool, size) for _ in critics]).to(accelerator.device)

    def result() -> Translators:
        return deepcopy(average.network).requires_grad_(True).eval()

    shown = [some.to(accelerator.device) for some in data.tensor(range(min(8, len(data))))]
    return training.Training(
        step=_step(recipe, parts, pools, accelerator.backward),
        data=data,
        recipe=recipe,
        keep={
            "translators": translators,
            "discriminators": critics,
            "average": average,
            "generator_optimiser": parts[4],
            "discriminator_optimiser": parts[5],
            "pools": pools,
        },
        result=result,
        config={"width": width, "sharp": sharp},
        accelerator=accelerator,
        seed=seed,
        schedule=training.linear_decay(recipe.decay_from) if recipe.decay_from < 1 else None,
        pictures=lambda: _both_ways(average.network, *shown),
    )


def networks(width: int, seed: int, sharp: bool = False) -> tuple[Translators, nn.ModuleList]:
    """The generators and the two discriminators as a training with that seed begins."""
    if width < 4:
        raise CourseError(f"width is {width}; choose 4 or more feature maps, such as 24")
    torch.manual_seed(training.derive(seed, "weights"))
    translators = Translators(width, sharp=sharp)
    return translators, nn.ModuleList([Discriminator(width, sharp=sharp) for _ in range(2)])


def _step(
    recipe: Recipe, parts: tuple, pools: nn.ModuleList, backward: Callable[[Tensor], None]
) -> training.Step:
    there, back, *critics, G_optimiser, D_optimiser = parts
    if recipe.paired:
        return partial(paired_step, there, back, G_optimiser, backward=backward)
    return partial(
        cycle_step, there, back, *critics, G_optimiser, D_optimiser, pools=pools,
        adversarial=recipe.adversarial, cycle=recipe.cycle, identity=recipe.identity,
        through=recipe.through, backward=backward,
    )  # fmt: skip


@torch.no_grad()
def translate(generator: nn.Module, images: Tensor | faces.Faces, batch_size: int = 64) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] of the other domain, on the CPU."""
    images = images.tensor() if isinstance(images, faces.Faces) else images
    device = next(generator.parameters()).device
    with evaluating(generator):
        return torch.cat([generator(part.to(device)).cpu() for part in images.split(batch_size)])


def _both_ways(translators: Translators, first: Tensor, second: Tensor) -> Tensor:
    """What becomes of some pictures of the first domain, then of some of the second."""
    return torch.cat([translate(translators.there, first), translate(translators.back, second)])


def train(
    data: faces.Faces | Unpaired,
    recipe: Recipe = UNPAIRED,
    *,
    images: int,
    width: int = 24,
    sharp: bool = False,
    seed: int = 0,
    precision: str | None = None,
    **options: Any,
) -> Trained:
    """`build`, then train until the networks have seen `images` pictures of each domain.

    options: `training.fit`'s (folder, max_minutes, pictures_every, …).
    """
    plan = build(data, recipe, width=width, sharp=sharp, seed=seed, precision=precision)
    history = plan.fit(images, **options)
    return Trained(plan.result(), history)


def load(preset: str) -> Translators:
    """The committed generators of a preset; CourseError for one whose weights are not kept."""
    if preset not in PRESETS or not PRESETS[preset].weights:
        kept = ", ".join(name for name, known in PRESETS.items() if known.weights)
        raise CourseError(f"there are no weights of preset {preset!r}; there are of {kept}")
    return pretrained.load(PRESETS[preset].weights, Translators)


def load_or_train(
    budget: str, data: faces.Faces | Unpaired | None = None, **options: Any
) -> Trained:
    """One call for all, as `dcgan.load_or_train`: "pretrained", "quick" or "full"."""
    if budget == "pretrained":
        return Trained(load("aqua-purple"), training.History(UNPAIRED.batch_size))
    if budget not in ("quick", "full"):
        raise CourseError(f"budget {budget!r} is unknown; choose one of pretrained, quick, full")
    if data is None:
        raise CourseError(f'a {budget} training needs data, such as faces.load("train")')
    preset = PRESETS[budget]
    chosen = {"recipe": preset.recipe, "images": preset.images, **preset.sizes}
    return train(data, **chosen | options)
