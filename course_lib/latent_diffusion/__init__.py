"""Lesson 5: diffusion, first in the plane, then on the latents of faces, told by words."""

from diffusers import AutoencoderKL, UNet2DConditionModel

from course_lib.latent_diffusion import flow, plane
from course_lib.latent_diffusion.autoencoder import (
    AutoencoderRecipe,
    autoencoder_step,
    centre,
    decibels,
    decode,
    give_back,
    load_autoencoder,
    new_autoencoder,
    psnr,
)
from course_lib.latent_diffusion.emphasis import decided_by, emphasised, where_words_show
from course_lib.latent_diffusion.learning import PRESETS, Recipe, build, build_painter
from course_lib.latent_diffusion.looking import guess, looks
from course_lib.latent_diffusion.painting import Painter, guided_velocity, load_painter, walk
from course_lib.latent_diffusion.pipeline import assemble, load, save
from course_lib.latent_diffusion.plane import PlaneFlow
from course_lib.latent_diffusion.unet import (
    Latents,
    PlainLatents,
    diffusion_step,
    latents_of,
    new_unet,
    wordless_step,
)

__all__ = [
    "PRESETS",
    "AutoencoderKL",
    "AutoencoderRecipe",
    "Latents",
    "Painter",
    "PlainLatents",
    "PlaneFlow",
    "Recipe",
    "UNet2DConditionModel",
    "assemble",
    "autoencoder_step",
    "build",
    "build_painter",
    "centre",
    "decibels",
    "decided_by",
    "decode",
    "diffusion_step",
    "emphasised",
    "flow",
    "give_back",
    "guess",
    "guided_velocity",
    "latents_of",
    "load",
    "load_autoencoder",
    "load_painter",
    "looks",
    "new_autoencoder",
    "new_unet",
    "plane",
    "psnr",
    "save",
    "walk",
    "where_words_show",
    "wordless_step",
]
