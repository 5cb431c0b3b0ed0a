"""Lesson 5: diffusion, first in the plane, then on the latents of faces, told by words."""

from diffusers import AutoencoderKL, UNet2DConditionModel

from course_lib.latent_diffusion import flow, plane
from course_lib.latent_diffusion.autoencoder import (
    AutoencoderRecipe,
    autoencoder_step,
    centre,
    decibels,
    give_back,
    new_autoencoder,
)
from course_lib.latent_diffusion.learning import PRESETS, Recipe, build, build_painter
from course_lib.latent_diffusion.painting import Painter, paint_latents
from course_lib.latent_diffusion.plane import PlaneFlow
from course_lib.latent_diffusion.unet import Latents, diffusion_step, latents_of, new_unet

__all__ = [
    "PRESETS",
    "AutoencoderKL",
    "AutoencoderRecipe",
    "Latents",
    "Painter",
    "PlaneFlow",
    "Recipe",
    "UNet2DConditionModel",
    "autoencoder_step",
    "build",
    "build_painter",
    "centre",
    "decibels",
    "diffusion_step",
    "flow",
    "give_back",
    "latents_of",
    "new_autoencoder",
    "new_unet",
    "paint_latents",
    "plane",
]
