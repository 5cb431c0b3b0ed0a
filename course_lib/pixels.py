"""Pictures as numbers: bytes (B, S, S, 3) on disks and screens, floats (B, 3, S, S) in networks.

PyTorch is imported only where a tensor is made: the processes that draw faces do without it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.errors import CourseError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn


def to_float(images: np.ndarray) -> Tensor:
    """uint8 (B, S, S, 3) → float32 (B, 3, S, S) in [-1, 1]; the memory's order stays."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(images: Any) -> np.ndarray:
    """Images as uint8 (B, S, S, 3).

    Takes float tensors (B, C, S, S) in [-1, 1] (what is outside is cut off; C is 1 or 3), or uint8
    arrays (B, S, S, 3), which come back as they are. One image without the B is fine too.
    """
    if hasattr(images, "detach"):  # a tensor
        images = images.detach()
        if images.is_floating_point():
            images = images.float()[None] if images.ndim == 3 else images.float()
            if images.ndim == 4 and images.shape[1] in (1, 3):
                images = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
                images = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
        images = images.cpu().numpy()
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise CourseError(
            f"cannot show images of shape {images.shape} and type {images.dtype}; give a float "
            "tensor (B, 3, S, S) with values in [-1, 1], or a uint8 array (B, S, S, 3)"
        )
    return images


def image_grid(images: Any, columns: int = 8, gap: int = 2) -> np.ndarray:
    """One uint8 picture (H, W, 3): the images in rows of `columns`, `gap` white pixels apart."""
    images = to_uint8(images)
    number, height, width, _ = images.shape
    columns = max(1, min(columns, number))
    rows = ceil(number / columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def cut_grid(grid: np.ndarray, size: int) -> np.ndarray:
    """`image_grid` without gaps backwards: uint8 (H, W, 3) → (B, size, size, 3), row by row."""
    rows = grid.reshape(grid.shape[0] // size, size, grid.shape[1] // size, size, 3)
    return rows.swapaxes(1, 2).reshape(-1, size, size, 3)


def in_few_colours(picture: Image) -> Image:
    """A PIL picture in at most 256 colours: a third of the bytes as a PNG.

    Colours that are far apart are kept apart, then moved to the middle of what they stand for: by
    the median cut, which counts pixels, a green eye among orange hair came out blue.
    """
    from PIL.Image import Quantize

    return picture.convert("RGB").quantize(256, Quantize.MAXCOVERAGE, kmeans=4)


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """The networks in evaluation mode; afterwards every module is in the mode it was in.

    In evaluation mode a picture depends on its own noise alone, not on the others of its batch.
    """
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def animated_png(
    frames: Sequence[np.ndarray], seconds: float = 0.4, first: float | None = None
) -> bytes:
    """Frames (H, W, 3) of uint8 as one animated PNG that repeats for ever.

    It is an ordinary `image/png`: where nothing can move, its first frame stands. All frames share
    one palette of 256 colours. seconds: how long a frame is shown. first: how long the first is.
    """
    from PIL import Image

    height, width = frames[0].shape[:2]
    strip = Image.fromarray(np.concatenate(list(frames)))
    # The palette of every third pixel each way is as good, and found nine times as fast.
    small = (max(1, width // 3), max(1, strip.height // 3))
    small = in_few_colours(strip.resize(small, Image.Resampling.NEAREST))
    strip = strip.quantize(palette=small, dither=Image.Dither.NONE)
    tiles = [strip.crop((0, i * height, width, (i + 1) * height)) for i in range(len(frames))]
    times = [round(1000 * seconds)] * len(tiles)
    times[0] = round(1000 * (seconds if first is None else first))
    encoded = io.BytesIO()
    tiles[0].save(
        encoded, "PNG", save_all=True, append_images=tiles[1:], duration=times, loop=0, disposal=0
    )
    return encoded.getvalue()
