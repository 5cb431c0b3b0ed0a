"""Lesson 6: from the course's own painter to the real Stable Diffusion, by one argument."""

from course_lib.stable_diffusion.checkpoints import fetch, load, placement
from course_lib.stable_diffusion.craft import EYES, anagram, box, half_turn, redraw, retouch
from course_lib.stable_diffusion.estimating import estimate
from course_lib.stable_diffusion.lora import (
    DecoderRecipe,
    LoraRecipe,
    add_lora,
    build_decoder_lora,
    build_lora,
    printed,
    save_lora,
    weigh,
)
from course_lib.stable_diffusion.painting import checkpoint_of, noise, paint
from course_lib.stable_diffusion.table import CHECKPOINTS, Checkpoint, Checkpoints, find
from course_lib.stable_diffusion.troubles import PaintingError, explained

__all__ = [
    "CHECKPOINTS",
    "EYES",
    "Checkpoint",
    "Checkpoints",
    "DecoderRecipe",
    "LoraRecipe",
    "PaintingError",
    "add_lora",
    "anagram",
    "box",
    "build_decoder_lora",
    "build_lora",
    "checkpoint_of",
    "estimate",
    "explained",
    "fetch",
    "find",
    "half_turn",
    "load",
    "noise",
    "paint",
    "placement",
    "printed",
    "redraw",
    "retouch",
    "save_lora",
    "weigh",
]
