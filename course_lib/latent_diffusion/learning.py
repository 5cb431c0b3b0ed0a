"""A whole training of the painter: recipes, presets, `build`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from course_lib import captions, faces, text, training
from course_lib.errors import CourseError
from course_lib.latent_diffusion import autoencoder as compressor
from course_lib.latent_diffusion.autoencoder import AutoencoderRecipe
from course_lib.latent_diffusion.emphasis import emphasised, where_words_show
from course_lib.latent_diffusion.painting import WEIGHTS, Painter, networks, padded
from course_lib.latent_diffusion.pipeline import assemble, save
from course_lib.latent_diffusion.unet import Latents, diffusion_step, latents_of, new_unet

# What is painted during a training, eight faces each.
WATCHED = [
    prompt
    for prompt in ("red eyes", "蓝色长发", "blonde twintails, blue eyes", "戴眼镜，绿色头发", "")
    for _ in range(8)
]


@dataclass(frozen=True)
class Recipe:
    """What the painter's training is made of, apart from the data and the network's size."""

    batch_size: int = 32
    unet_rate: float = 1e-3
    average: float = 0.999
    empty: float = 0.1
    detailed: float = 0.7  # the share of captions that say much
    contrast: float = 0.05
    shift: float = 0.5
    emphasis: float = 0.5  # see `emphasis.where_words_show`
    pooled: bool = True
    filler: str = "[SEP]"
    begin: str = ""  # a committed painter to go on from, instead of from chance


PRESETS = {
    "faces": training.Preset(
        "the course's painter, on the latents of its autoencoder", Recipe(),
        400_000, data="drawn:20000", fit={"pictures_every": 500, "save_every": 250},
        weights=WEIGHTS,
    ),
    "faces_further": training.Preset(
        "the course's painter, on from where it is, at half the rate and without the contrast",
        Recipe(unet_rate=5e-4, contrast=0.0, begin=WEIGHTS), 400_000, data="drawn:20000",
        fit={"pictures_every": 500, "save_every": 250}, weights=WEIGHTS,
    ),
    "autoencoder": training.Preset(
        "the course's autoencoder, an hour on a CPU with 16-bit floats", AutoencoderRecipe(),
        120_000, data="drawn:20000", fit={"pictures_every": 1000, "save_every": 500},
        weights=compressor.WEIGHTS,
    ),
    "small_autoencoder": training.Preset(
        "half as wide, twice as fast: for a whole chain in an hour", AutoencoderRecipe(),
        40_000, sizes={"channels": (16, 32, 64)},
        fit={"pictures_every": 1000, "save_every": 500},
    ),
    "decoder": training.Preset(
        "the autoencoder's decoder alone, further, with an eye on what words name: latents stay",
        AutoencoderRecipe(
            learning_rate=5e-4, begin=compressor.WEIGHTS, emphasis=0.5, perceptual=0.2
        ),
        40_000, data="drawn:20000", fit={"pictures_every": 500, "save_every": 250},
        weights=compressor.WEIGHTS,
    ),
}  # fmt: skip


def build(
    data: faces.Faces,
    recipe: Recipe | AutoencoderRecipe = PRESETS["faces"].recipe,
    *,
    seed: int = 0,
    precision: str | None = None,
    **sizes: Any,
) -> training.Training:
    """The training that a recipe is of: the autoencoder's, or the painter's on its latents."""
    of = compressor.build if isinstance(recipe, AutoencoderRecipe) else build_painter
    return of(data, recipe, seed=seed, precision=precision, **sizes)


def build_painter(
    data: faces.Faces,
    recipe: Recipe | None = None,
    *,
    channels: tuple[int, ...] = (64, 128, 128),
    seed: int = 0,
    precision: str | None = None,
    autoencoder: AutoencoderKL | None = None,
    encoder: text.TextEncoder | None = None,
    languages: Sequence[str] = captions.LANGUAGES,
) -> training.Training:
    """A painter of latents that learns from `data`, faces with attributes.

    autoencoder, encoder: of pictures and of words, the course's own by default; they do not change.
    languages: of the captions.
    """
    recipe = recipe or Recipe()
    autoencoder = autoencoder or compressor.load_autoencoder()
    accelerator = training.make_accelerator(precision)
    device = accelerator.device
    encoder = (encoder or text.load()).to(device)
    data = faces.without_apart(data)
    with accelerator.autocast():
        latents = latents_of(autoencoder, data)
    tokens = partial(padded, encoder, filler=recipe.filler)
    told = Latents(
        data, latents, tokens, empty=recipe.empty, detailed=recipe.detailed, languages=languages,
        seed=seed,
    )  # fmt: skip
    weights = emphasised(where_words_show(latents[0], data), recipe.emphasis).to(device)
    torch.manual_seed(training.derive(seed, "weights"))
    numbers, side = latents.shape[2], latents.shape[-1]
    unet = new_unet(channels, encoder.projection.out_features, recipe.pooled, numbers, side)
    go_on_from(recipe.begin, unet)
    unet = unet.to(device, memory_format=compressor.layout(device, accelerator.mixed_precision))
    average = training.EMA(unet, recipe.average)
    optimiser = compressor.adamw(unet.parameters(), recipe.unet_rate, device, decay=0.01)
    prepared = accelerator.prepare(optimiser)
    step = partial(
        diffusion_step, unet, prepared, encode=partial(_states, encoder), contrast=recipe.contrast,
        shift=recipe.shift, weights=weights, backward=accelerator.backward,
        autocast=accelerator.autocast,
    )  # fmt: skip

    painter = Painter(average.network, autoencoder, encoder, recipe.filler)

    def paint(prompts: Sequence[str], seed: int) -> Tensor:
        with accelerator.autocast():  # a look on the way may be a quick one
            return painter(prompts, seed).float()

    return training.Training(
        step=step,
        data=told,
        recipe=recipe,
        keep={"unet": unet, "average": average, "optimiser": prepared},
        result=lambda: average.network,
        config={"channels": list(channels), "pooled": recipe.pooled},
        accelerator=accelerator,
        seed=seed,
        schedule=training.one_cycle(warm=0.05),
        pictures=lambda: paint(WATCHED, 0),
        watch=lambda: text.in_brief(text.follow(paint, 200)),
        figures=lambda _: {"obedience": text.in_brief(text.follow(painter))},
        write=lambda unet, folder: save(assemble(unet, autoencoder, encoder), folder),
    )


def go_on_from(name: str, unet: UNet2DConditionModel) -> None:
    """Give `unet` the weights of the committed painter `name`; without a name it stays as it is.

    CourseError when that one is built in another way. PretrainedError when there is none.
    """
    if not name:
        return
    try:
        unet.load_state_dict(networks(name)[0].state_dict())
    except RuntimeError as error:
        raise CourseError(
            f"the painter {name!r} is built in another way: leave out channels and pooled, or begin"
            ' from chance, with Recipe(begin="")'
        ) from error


@torch.no_grad()
def _states(encoder: text.TextEncoder, tokens: Tensor) -> Tensor:
    return encoder(tokens).states
