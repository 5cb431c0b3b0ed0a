"""The judge's network, and its trained weights."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import faces, pretrained, settings
from course_lib.errors import CourseError

SIZE = 64
LAYERS = ("edges", "strokes", "parts", "face")


class JudgeError(CourseError):
    """These are not pictures the judge can read; the message says what to do."""


class Judge(nn.Module):
    """A convolutional network with one answer for each attribute.

    Four stages halve the picture to 32, 16, 8 and 4 pixels. The last is flattened, not averaged:
    faces sit in the middle, so where something is says much about what it is.

    values: pairs of an attribute and its possible values, in the order of the answers (a manifest
        would sort a dictionary); all of `faces.attribute_values()` by default.
    width: channels of the first stage. hidden: numbers of which all answers are linear functions.
    """

    def __init__(
        self,
        values: Iterable[tuple[str, Sequence[str]]] | None = None,
        width: int = 24,
        hidden: int = 256,
    ):
        super().__init__()
        self.values = {
            name: list(known) for name, known in values or faces.attribute_values().items()
        }
        self.stages = nn.ModuleDict(
            {
                "edges": _convolution(3, width, kernel=4),
                "strokes": nn.Sequential(_convolution(width, 2 * width), Residual(2 * width)),
                "parts": nn.Sequential(_convolution(2 * width, 4 * width), Residual(4 * width)),
                "face": _convolution(4 * width, 4 * width),
            }
        )
        self.summary = nn.Sequential(
            nn.Flatten(),
            nn.Linear(4 * width * (SIZE // 16) ** 2, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
        )
        self.heads = nn.Linear(hidden, sum(map(len, self.values.values())))
        # One for each attribute, set after the training: see `calibrate`.
        self.register_buffer("temperature", torch.ones(len(self.values)))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, 64, 64) in [-1, 1] → for each attribute, logits (B, values).

        Their softmax is a calibrated probability: they are already divided by the temperature. The
        logits of a colour suppose that it can be seen; `read` asks whether it can.
        """
        logits = self.heads(self.summarise(images)).float()
        split = logits.split([len(known) for known in self.values.values()], dim=1)
        return {
            name: part / temperature
            for name, part, temperature in zip(self.values, split, self.temperature, strict=True)
        }

    def summarise(self, images: Tensor) -> Tensor:
        """The numbers of which all answers are linear functions, (B, hidden)."""
        return self.summary(self._until(images, LAYERS[-1]))

    def features(self, images: Tensor, layer: str = "strokes") -> Tensor:
        """Activations of a middle layer as vectors (B, F), for distances between sets of images.

        layer: "edges" (F = 4 · width), "strokes" (8 · width, each quarter of the picture by itself)
            or "parts", "face" (4 · width, the mean over the picture). The later a layer, the less
            it knows beyond the attributes: how well something is painted shows in the earlier ones.
        """
        if layer not in LAYERS:
            raise JudgeError(f"unknown layer {layer!r}; known layers: {', '.join(LAYERS)}")
        pool = 2 if layer in ("edges", "strokes") else 1
        return F.adaptive_avg_pool2d(self._until(images, layer), pool).flatten(1).float()

    def _until(self, images: Tensor, last: str) -> Tensor:
        check_images(images)
        activations = images.contiguous(memory_format=torch.channels_last)
        for name, stage in self.stages.items():
            activations = stage(activations)
            if name == last:
                break
        return activations


class Residual(nn.Module):
    """x + f(x) with two convolutions: He et al. 2015, arXiv 1512.03385."""

    def __init__(self, channels: int):
        super().__init__()
        self.change = nn.Sequential(
            _convolution(channels, channels, kernel=3, stride=1),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.change(x))


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def load() -> Judge:
    """The trained judge, on `settings.device()`, ready to use; the file is read once."""
    return _load(str(settings.device()))


@functools.lru_cache(maxsize=2)
def _load(device: str) -> Judge:
    return pretrained.load("judge", Judge).requires_grad_(False)


def check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise JudgeError(
            f"images are a tensor (B, 3, {SIZE}, {SIZE}) or Faces, not {type(images).__name__}; "
            "from an array, faces.Faces(array).tensor() makes one"
        )
    if not images.is_floating_point():
        raise JudgeError(
            f"images are floats in [-1, 1], not {images.dtype}: "
            "from 0…255, images.float() / 127.5 - 1 makes them"
        )
    if images.ndim != 4 or images.shape[1:] != (3, SIZE, SIZE):
        raise JudgeError(
            f"images are (B, 3, {SIZE}, {SIZE}), not {tuple(images.shape)}: for one image, "
            "image[None]; for another size, "
            f'torch.nn.functional.interpolate(images, size={SIZE}, mode="area")'
        )
