"""How long a picture will take, before anything is fetched."""

from __future__ import annotations

import functools
import time

import torch

from course_lib import settings
from course_lib.stable_diffusion.table import CHECKPOINTS, Checkpoint, find
from course_lib.stable_diffusion.troubles import ON_COLAB

# Counted by torch.utils.flop_counter for one latent of 64 × 64: a multiplication and the addition
# after it are two operations. Stable Diffusion 1.5's U-Net and the 2.1 one's differ by 0.1 %.
UNET_TFLOP, DECODER_TFLOP = 0.80, 2.51
OWN_UNET_TFLOP, OWN_DECODER_TFLOP = 0.00070, 0.00123  # the course's, counted in the same way
MATRIX = {"cpu": 1024, "mps": 2048, "cuda": 4096}  # sides of the matrices that measure a device


def estimate(checkpoint: Checkpoint | str | None = None, device: torch.device | None = None) -> str:
    """How long one picture will take, roughly; about a second is spent to measure the device.

    checkpoint: one of `load`'s names, or what `checkpoint_of` gives. device: None, the setting's.

    Counted are the operations of the networks' multiplications, 0.8 · 10¹² for a look of Stable
    Diffusion's U-Net at 512 × 512 pixels, two looks a step with guidance, and 2.5 · 10¹² for the
    decoder; measured is how fast the device multiplies matrices, which is the best it can do. That
    real networks reach from all to a third of that is assumed, so two limits are given.
    """
    checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else find(checkpoint)
    device = settings.device() if device is None else torch.device(device)
    work, speed = tflop(checkpoint), measure_speed(device)
    steps = "step" if checkpoint.steps == 1 else "steps"
    here = "this CPU" if device.type == "cpu" else "this GPU"
    advice = "" if device.type == "cuda" else f" A GPU is much faster. {ON_COLAB}"
    return (
        f"Estimate, not a promise: one picture by {checkpoint.name}, {checkpoint.side} pixels, "
        f"{checkpoint.steps} {steps}, takes {_span(work / speed, 3 * work / speed)} on {here}: "
        f"{work:.1f} · 10¹² operations, at {speed:.2f} · 10¹² a second or a third of it.{advice}"
    )


def tflop(checkpoint: Checkpoint) -> float:
    """10¹² operations for one picture; taken to grow with its area."""
    looks = checkpoint.steps * (2 if checkpoint.guidance > 1 else 1)
    if checkpoint == CHECKPOINTS["course"]:
        return looks * OWN_UNET_TFLOP + OWN_DECODER_TFLOP
    return (looks * UNET_TFLOP + DECODER_TFLOP) * (checkpoint.side / 512) ** 2


@functools.cache
def measure_speed(device: torch.device, seconds: float = 1.0) -> float:
    """10¹² operations a second in products of matrices: in 16 bits on a CUDA GPU, else in 32."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    side = MATRIX.get(device.type, 1024)
    left, right = torch.rand(2, side, side, device=device, dtype=dtype)

    def multiply(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            torch.mm(left, right)
        torch.mm(left, right)[0, 0].item()  # waits for the device
        return (time.perf_counter() - start) / (times + 1)

    once = multiply(1)
    again = multiply(max(1, int(seconds / once)))
    return 2 * side**3 / again / 1e12


def _span(low: float, high: float) -> str:
    if high < 2:
        return "less than 2 seconds"
    if high < 90:
        return f"{max(1, round(low))} to {round(high)} seconds"
    if high < 90 * 60:
        return f"{max(1, round(low / 60))} to {round(high / 60)} minutes"
    return f"{max(1, round(low / 3600))} to {round(high / 3600)} hours"
