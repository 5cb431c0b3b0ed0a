"""The ruler: how far pictures are from real ones, in numbers that agree with the eye.

    ruler = metrics.Ruler(faces.load("train"), faces.load("held-out"))
    ruler.measure(metrics.painter(generator))       # a table: every number with its interval
    ruler.measure(images)["frechet/pixels"].value   # one number
    ruler.values(images)                            # every number, without intervals, quickly

Two distances, each in two spaces of features, and two shares:

- Fréchet distance (Heusel et al. 2017, arXiv 1706.08500): two Gaussians, one laid through the
  features of the real pictures and one through those of the others; how far are they apart?
- kernel distance (KID, Bińkowski et al. 2018, arXiv 1801.01401): the unbiased squared maximum mean
  discrepancy with a cubic kernel.
- precision: how many of the pictures lie among real ones; recall: how many of the real ones lie
  among the pictures (Kynkäänniemi et al. 2019, arXiv 1904.06991, with their k = 3).

The distances count in floors: 1 Fréchet floor is what other real faces score. The Fréchet distance
falls as 1/N, so it is always taken at the same N, the number of held-out pictures. The kernel
distance of real faces is 0 on average, so its floor is the root mean square of what sets of real
faces score among each other: chance alone gives about ±1, rarely ±2.

All are computed by torch-fidelity from features that need no download: filters drawn by chance
("convolution") and the picture in 8×8 pixels ("pixels"). Inception, which papers use, was trained
on photographs and has to be fetched; numbers of papers cannot be compared with these.

Sharpness shows in the convolution, colour and place in the pixels: read both. Precision does not
see copies, recall takes four of each face for as bad as 64, and nothing sees that 3 of 12 hair
colours are missing: count them with `course_lib.judge`. To rank generators use the Fréchet
distances. Which number sees which fault of the `LADDER`, what the kernel distance and the
convolution exaggerate, and why these spaces: benchmarks/README.md, "What the ruler sees".
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.errors import CourseError
from course_lib.faces import Faces
from course_lib.faults import LADDER, Fault, spoil  # noqa: F401 - part of the lesson
from course_lib.pixels import evaluating

FLOOR_SETS = 9  # disjoint sets of real pictures that say what real pictures score: 9 × 600 = 5,400
FEWEST = 32  # held-out pictures; with fewer, every number is mostly chance
NEIGHBOURS = 3  # k of precision and recall
BATCH = 100
# Student's t, two-sided 95 %, by degrees of freedom; for more than 9 the last is on the safe side.
STUDENT = (math.nan, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)

Painter = Callable[[int, int], Tensor]  # (n, seed) → images (n, 3, S, S)
Space = Callable[[Tensor], Tensor]  # images (B, 3, S, S) → features (B, F)


class MetricsError(CourseError):
    """These pictures cannot be measured; the message says what to do."""


# Two spaces


def convolution(images: Tensor) -> Tensor:
    """Images (B, 3, S, S) → (B, 144): what fixed filters drawn by chance answer.

    Three layers of stride 2. Of each of the 16 + 24 + 32 channels the mean and the standard
    deviation over the picture: how much of a pattern there is, and how unevenly.
    """
    features = []
    for weight in _filters():
        images = F.leaky_relu(F.conv2d(images, weight, stride=2, padding=1), 0.2)
        variance, mean = torch.var_mean(images, dim=(2, 3), correction=0)
        features += [mean, (variance + 1e-6).sqrt()]
    return torch.cat(features, dim=1)


def pixels(images: Tensor) -> Tensor:
    """Images (B, 3, S, S) → (B, 192): the picture in 8×8 pixels, so colours and where they are."""
    return F.adaptive_avg_pool2d(images, 8).flatten(1)


SPACES: Mapping[str, Space] = {"convolution": convolution, "pixels": pixels}


@functools.cache
def _filters(widths: Sequence[int] = (16, 24, 32), seed: int = 0) -> list[Tensor]:
    """Orthogonal filters (Saxe et al. 2013, arXiv 1312.6120) with He et al.'s gain.

    Drawn by NumPy, whose numbers are the same everywhere, not by torch.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    filters, channels = [], 3
    for width in widths:
        normal = draw.standard_normal((channels * 4 * 4, width))
        left, _, right = np.linalg.svd(normal, full_matrices=False)
        weight = (left @ right).T.reshape(width, channels, 4, 4) * math.sqrt(2 / (1 + 0.2**2))
        filters.append(torch.from_numpy(weight).float())
        channels = width
    # Each first filter sums to 0 over each colour: it answers to strokes, not to flat colour. With
    # flat colour, a slightly brighter background outweighed every stroke.
    filters[0] -= filters[0].mean(dim=(2, 3), keepdim=True)
    return filters


# The ruler


class Measure(NamedTuple):
    """One number.

    value: in floors (distances) or a share (precision, recall). low, high: its 95 % interval.
    raw: the distance before it was divided by the floor.
    real, real_spread: what real pictures score, mean and standard deviation of their sets.
    """

    value: float
    low: float
    high: float
    raw: float
    real: float
    real_spread: float


class Measures(dict[str, Measure]):
    """Name → `Measure`; prints as a table."""

    def __str__(self) -> str:
        lines = [f"{'':20}{'value':>9}  {'95 % interval':^19}{'real pictures':>17}"]
        for name, m in self.items():
            interval = f"{m.low:.2f} … {m.high:.2f}"
            real = f"{m.real:.2f} ± {m.real_spread:.2f}"
            lines.append(f"{name:20}{m.value:9.2f}  {interval:^19}{real:>17}")
        return "\n".join(lines)

    __repr__ = __str__


class Ruler:
    """Measures pictures against held-out real ones.

    train: real pictures, at least twice as many as held out; they say what real pictures score and
        in which unit each feature counts (its standard deviation).
    held_out: the N real pictures that all are compared with. Both: Faces, or float tensors
        (n, 3, S, S) in [-1, 1].
    spaces: name → function from images to features (B, F); F should be well under N.

    The interval of a measure is that of the pictures. The floor has an error too (`real_spread` by
    the root of the number of sets), which is the same for all that one ruler measures, so it does
    not change who is better.
    """

    def __init__(
        self,
        train: Faces | Tensor,
        held_out: Faces | Tensor,
        spaces: Mapping[str, Space] = SPACES,
    ):
        self.spaces = dict(spaces)
        self.n = len(held_out)
        self.size = _side(held_out)
        sets = min(FLOOR_SETS, len(train) // max(self.n, 1))
        if self.n < FEWEST:
            raise MetricsError(f"{self.n} held-out pictures are too few; hold out {FEWEST} or more")
        if sets < 2:
            raise MetricsError(
                f"{len(train)} training pictures are too few beside {self.n} held-out ones: the "
                "floor needs twice as many; hold out fewer"
            )
        # A folder may be sorted by content, so the sets are drawn.
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(train))
        rows = np.sort(order[: sets * self.n].reshape(sets, self.n), axis=1)
        self._units: dict[str, tuple[Tensor, Tensor]] = {}
        real = [self._raw_features(_take(train, part)) for part in rows]
        for name in self.spaces:
            together = torch.cat([part[name] for part in real])
            spread = together.std(dim=0)
            spread[spread < 1e-6] = 1.0  # a feature that never changes tells nothing
            self._units[name] = together.mean(dim=0), spread
        real = [self._in_units(part) for part in real]
        self._held_out = self._in_units(self._raw_features(_take(held_out, slice(None))))
        self._statistics = {
            name: _statistics(features) for name, features in self._held_out.items()
        }
        scores = [self._scores(part) for part in real]
        self.floors = {
            name: float(np.mean([score[name] for score in scores]))
            for name in scores[0]
            if name.startswith("frechet/")
        } | {
            f"kernel/{name}": _root_mean_square(
                [_kernel(a[name], b[name]) for a, b in combinations([*real, self._held_out], 2)]
            )
            for name in self.spaces
        }
        self._real = [self._in_floors(score) for score in scores]

    def measure(self, pictures: Faces | Tensor | Painter, draws: int = 5) -> Measures:
        """Every number with its 95 % interval.

        pictures: a function (n, seed) → images, such as `painter(generator)`, which is asked for
            `draws` times N; or N or more pictures: 2 N are two draws and so on. From one draw alone
            the interval is estimated by leaving out a tenth at a time (jackknife).
        """
        if isinstance(pictures, nn.Module):
            raise MetricsError("this is a network; what can be measured is metrics.painter(it)")
        if callable(pictures):
            if draws < 1:
                raise MetricsError(f"draws is 1 or more, not {draws}")
            sets = [self._features(pictures(self.n, seed)) for seed in range(draws)]
        else:
            self._enough(pictures)
            sets = [
                self._features(_take(pictures, slice(i * self.n, (i + 1) * self.n)))
                for i in range(len(pictures) // self.n)
            ]
        scores = [self._scores(part) for part in sets]
        raw = {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
        error = self._jackknife(sets[0]) if len(sets) == 1 else _standard_errors(scores)
        measures = Measures()
        for name, value in raw.items():
            floor = self.floors.get(name, 1.0)
            real = [score[name] for score in self._real]
            measures[name] = Measure(
                value / floor,
                (value - error[name]) / floor,
                (value + error[name]) / floor,
                value,
                float(np.mean(real)),
                float(np.std(real, ddof=1)),
            )
        return measures

    def values(self, images: Faces | Tensor) -> dict[str, float]:
        """Every number of the first N pictures, without an interval: five times quicker."""
        self._enough(images)
        return self._in_floors(self._scores(self._features(_take(images, slice(self.n)))))

    # From pictures to features

    def _enough(self, pictures: Faces | Tensor) -> None:
        if isinstance(pictures, nn.Module):
            raise MetricsError(
                f"this is a network; its pictures are metrics.painter(it)({self.n}, seed)"
            )
        if len(pictures) < self.n:
            raise MetricsError(
                f"{len(pictures)} pictures are too few: this ruler compares {self.n} with "
                f"{self.n} held-out ones, because the distances change with the number"
            )

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        if len(images) != self.n:
            raise MetricsError(f"{self.n} pictures were asked for and {len(images)} painted")
        return self._in_units(self._raw_features(images))

    @torch.no_grad()
    def _raw_features(self, images: Tensor) -> dict[str, Tensor]:
        _check(images, self.size)
        # Always on the CPU and in 32 bits: the real pictures' features must be of the same making.
        batches = images.detach().cpu().float().clamp(-1, 1).split(BATCH)
        return {
            name: torch.cat([space(batch.contiguous()) for batch in batches]).double()
            for name, space in self.spaces.items()
        }

    def _in_units(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: (values - self._units[name][0]) / self._units[name][1]
            for name, values in features.items()
        }

    # From features to numbers

    def _frechet(self, name: str, features: Tensor) -> float:
        return _frechet(self._statistics[name], _statistics(features))

    def _scores(self, features: dict[str, Tensor], fewer: int = 0) -> dict[str, float]:
        """The raw numbers; `fewer` pictures are missing on both sides of the kernel distance."""
        first = next(iter(self.spaces))  # the best of ours for precision and recall
        scores = {f"frechet/{name}": self._frechet(name, f) for name, f in features.items()}
        for name, values in features.items():
            real = self._held_out[name][: self.n - fewer]
            scores[f"kernel/{name}"] = _kernel(values, real)
        return scores | _shares(features[first], self._held_out[first])

    def _in_floors(self, scores: dict[str, float]) -> dict[str, float]:
        return {name: value / self.floors.get(name, 1.0) for name, value in scores.items()}

    def _jackknife(self, features: dict[str, Tensor], groups: int = 10) -> dict[str, float]:
        """Half the 95 % interval from one draw: Efron and Stein 1981, with groups left out."""
        group = torch.arange(self.n) * groups // self.n
        scores = []
        for left_out in range(groups):
            kept = {name: values[group != left_out] for name, values in features.items()}
            fewer = int((group == left_out).sum())
            scores.append(self._scores(kept, fewer))
        return {
            name: STUDENT[-1] * math.sqrt((groups - 1) * np.var([score[name] for score in scores]))
            for name in scores[0]
        }


# torch-fidelity's own sums. They are imported where they are used: it takes seconds.


def _statistics(features: Tensor) -> dict[str, np.ndarray]:
    from torch_fidelity.metric_fid import fid_features_to_statistics

    return fid_features_to_statistics(features)


def _shares(painted: Tensor, real: Tensor) -> dict[str, float]:
    from torch_fidelity.metric_prc import prc_features_to_metric

    shares = prc_features_to_metric(painted, real, prc_neighborhood=NEIGHBOURS, verbose=False)
    return {name: shares[name] for name in ("precision", "recall")}


def _frechet(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    return fid_statistics_to_metric(one, other, False)["frechet_inception_distance"]


def _kernel(one: Tensor, other: Tensor) -> float:
    """All pictures at once: torch-fidelity's subsets are for numbers that memory cannot hold."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    result = kid_features_to_metric(
        one, other, kid_subsets=1, kid_subset_size=len(one), verbose=False
    )
    return result["kernel_inception_distance_mean"]


def _standard_errors(scores: list[dict[str, float]]) -> dict[str, float]:
    """Half the 95 % t-interval of the mean of several draws."""
    student = STUDENT[min(len(scores) - 1, len(STUDENT) - 1)]
    return {
        name: student * np.std([score[name] for score in scores], ddof=1) / math.sqrt(len(scores))
        for name in scores[0]
    }


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(np.mean(np.square(values)))


def painter(generator: nn.Module, noise_size: int | None = None) -> Painter:
    """A function (n, seed) → n pictures of a generator that turns noise (B, noise_size) into them.

    noise_size: `generator.noise_size` if it has one, else 100. The generator paints in evaluation
    mode, so that a picture depends on its own noise alone.
    """
    noise_size = noise_size or getattr(generator, "noise_size", 100)

    @torch.no_grad()
    def paint(n: int, seed: int) -> Tensor:
        device = next(generator.parameters()).device
        noise = torch.randn(n, noise_size, generator=torch.Generator().manual_seed(seed))
        with evaluating(generator):
            return torch.cat([generator(part.to(device)).cpu() for part in noise.split(BATCH)])

    return paint


# Checks


def _side(pictures: Faces | Tensor) -> int:
    return pictures.images.shape[1] if isinstance(pictures, Faces) else pictures.shape[-1]


def _take(pictures: Faces | Tensor, rows: slice | np.ndarray) -> Tensor:
    return pictures[rows].tensor() if isinstance(pictures, Faces) else pictures[rows]


def _check(images: Tensor, size: int) -> None:
    """MetricsError unless images are what the ruler can measure."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise MetricsError(
            f"pictures are Faces or float tensors in [-1, 1], not {kind}; of uint8 pixels make "
            "them by faces.Faces(pixels).tensor()"
        )
    if images.dim() != 4 or images.shape[1:] != (3, size, size):
        raise MetricsError(
            f"pictures are (n, 3, {size}, {size}) like the real ones, not {tuple(images.shape)}"
        )
    if size < 16:
        raise MetricsError(f"pictures have 16×16 pixels or more here, not {size}×{size}")
    low, high = images.aminmax()
    if not (low.isfinite() and high.isfinite()):  # aminmax passes NaN on
        raise MetricsError("some pixels are NaN or infinite: has the training diverged?")
    if low < -1.01 or high > 1.01:
        raise MetricsError(
            f"pixels are in [-1, 1], these in [{low:.2f}, {high:.2f}]: scale or clamp them"
        )
    if low >= 0 and high > 0.5:
        warnings.warn(
            "no pixel is darker than mid-grey; are these in [0, 1]? Then measure 2 * images - 1",
            stacklevel=5,
        )
