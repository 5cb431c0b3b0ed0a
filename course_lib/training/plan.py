"""What a lesson's room gives: a `Training` that is built and can be run, and `PRESETS` as data.

A room is a module with `PRESETS` and `build(data, recipe, *, seed, precision, **sizes)`, which
returns a `Training`. That is all that `course train NAME` needs: it finds such modules by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from course_lib import settings
from course_lib.errors import CourseError
from course_lib.training.batches import Data
from course_lib.training.history import History
from course_lib.training.loop import Step, fit
from course_lib.training.parts import Part


@dataclass(frozen=True)
class Preset:
    """A training that is known to work, as data for the lesson, the command and the benchmarks."""

    about: str
    recipe: Any  # the room's own dataclass
    images: int
    data: str = "bundled"  # what `faces.find` takes
    sizes: Mapping[str, Any] = field(default_factory=dict)  # more of what the room's `build` takes
    fit: Mapping[str, Any] = field(default_factory=dict)  # options of `fit`
    weights: str = ""  # the name under which `--export` puts them into the repository


@dataclass
class Training:
    """All that a training needs beyond its length; nothing is trained yet.

    step, data, keep, flip, schedule, pictures, watch: as for `fit`.
    recipe: a dataclass; a checkpoint with another one is refused. Learning rates (its fields that
        end in `_rate`) may change: that is how a training that went wrong goes on.
    result: the network that all this is for, ready to use; called at the end.
    config: what builds that network again, for `pretrained.load`.
    figures: what else is worth knowing about the network, for the manifest.
    write: fills a folder with the network and all that it needs, such as a pipeline's; without it
        the weights become one file.
    """

    step: Step
    data: Data
    recipe: Any
    keep: Mapping[str, Part]
    result: Callable[[], nn.Module]
    config: Mapping[str, Any]
    accelerator: Accelerator
    seed: int = 0
    flip: bool = False
    schedule: Callable[[float], float] | None = None
    pictures: Callable[[], Tensor] | None = None
    watch: Callable[[], Mapping[str, float]] | None = None
    figures: Callable[[nn.Module], Mapping[str, Any]] = lambda _: {}
    write: Callable[[nn.Module, Path], Any] | None = None

    @property
    def together(self) -> int:
        """Images a step, of all processes."""
        return self.recipe.batch_size * self.accelerator.num_processes

    def fit(self, images: int, **options: Any) -> History:
        """`fit` until the networks have seen so many images; options win over the training's own.

        With several processes (`torchrun`, `accelerate launch`) each takes `recipe.batch_size`
        images a step, and gradients are averaged: `images` are reached in so many times fewer
        steps, with the same learning rates. CourseError for fewer than one image.
        """
        if images < 1:
            raise CourseError(f"images is {images}; choose how many to train on, 1 or more")
        own = {
            "batch_size": self.recipe.batch_size,
            "seed": self.seed,
            "flip": self.flip,
            "keep": self.keep,
            "recipe": self._fixed(),
            "schedule": self.schedule,
            "pictures": self.pictures,
            "watch": self.watch,
            "accelerator": self.accelerator,
        }
        return fit(self.step, self.data, steps=-(-images // self.together), **own | options)

    def _fixed(self) -> dict[str, Any]:
        """The recipe, but for what may change when it goes on: rates, and a batch's part of it."""
        fields = asdict(self.recipe).items()
        return {k: v for k, v in fields if not k.endswith("_rate") and k != "batch_size"}

    def took(self, history: History) -> dict[str, Any]:
        """`took` of this training."""
        return took(history, self.recipe, self.seed, self.accelerator.mixed_precision)


def took(history: History, recipe: Any, seed: int, precision: str) -> dict[str, Any]:
    """What a training took, for the manifest and whoever asks. recipe: a dataclass, or words."""
    return {
        "images": history.images,
        "minutes": round(history.seconds / 60, 1),
        "images_per_second": round(history.images / max(history.seconds, 1e-9)),
        "device": str(settings.device()),
        "threads": history.threads,
        "precision": precision,
        "seed": seed,
        "recipe": asdict(recipe) if is_dataclass(recipe) else recipe,
        "losses": {name: history.curve(name) for name in history.losses},
    }
