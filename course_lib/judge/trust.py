"""How far the judge can be trusted, measured on drawings it has never seen."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import faces
from course_lib.captions import HIDDEN
from course_lib.judge.network import Judge, JudgeError
from course_lib.judge.reading import read

TARGETS = {"hair_color": 0.99, "eye_color": 0.97}  # what is asked of the judge on held-out drawings
OTHER_TARGET = 0.95
FRESH_SEED = 104  # of `--fresh`: neither the bundled faces' seed nor one of the training's


class Score(NamedTuple):
    """Right answers among all."""

    right: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.right / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval by Wilson 1927, which stays within [0, 1] also near the ends."""
        if not self.total:
            return 0.0, 1.0
        z, n, p = 1.96, self.total, self.accuracy
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


def target(attribute: str) -> float:
    """The share of held-out drawings in which the attribute has to be read right."""
    return TARGETS.get(attribute, OTHER_TARGET)


def accuracy(
    known: faces.Faces,
    disturb: Callable[[Tensor], Tensor] | None = None,
    judge: Judge | None = None,
) -> dict[str, Score]:
    """How often each attribute is read right, among the faces in which it can be seen.

    known: faces with attributes. disturb: what to do to the images before they are read.
    A colour that can be seen, but is read as "hidden", is wrong.
    """
    return {
        name: Score(int(right.sum()), len(right))
        for name, (right, _) in _answers(known, disturb, judge).items()
    }


def calibration_error(right: np.ndarray, confidence: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of Guo et al. 2017, arXiv 1706.04599, eq. 3: 0 is best.

    right, confidence: (N,). Answers are sorted into bins of equal width by their confidence; in
    each, the share of right ones should be the mean confidence.
    """
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[which == b].mean() - confidence[which == b].mean()) * (which == b).mean()
        for b in np.unique(which)
    ]
    return float(np.sum(gaps))


@torch.no_grad()
def calibrate(judge: Judge, images: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
    """Set one temperature for each attribute so that confidence is the chance of being right.

    Temperature scaling by Guo et al. 2017: of many temperatures, that with the least loss on
    pictures the judge was not trained on. No answer changes, only how sure it is.

    labels: attribute → (N,), the number of the value; -1 for what cannot be seen.
    Returns the temperatures, (attributes,).
    """
    judge.temperature.fill_(1.0)
    logits = [judge(batch) for batch in images.split(256)]
    # Not under ½: where no answer at all is wrong, 0 would be best, and the judge sure of anything.
    candidates = torch.logspace(math.log10(0.5), math.log10(5), 100)
    for i, name in enumerate(judge.values):
        answers = torch.cat([batch[name] for batch in logits])
        losses = [
            F.cross_entropy(answers / float(t), labels[name], ignore_index=-1) for t in candidates
        ]
        judge.temperature[i] = candidates[int(torch.stack(losses).argmin())]
    return judge.temperature


def label_numbers(known: faces.Faces) -> dict[str, Tensor]:
    """Attribute → (N,): the number of each face's value; -1 for what cannot be seen."""
    return {
        name: torch.tensor(
            [-1 if face[name] == HIDDEN else values.index(face[name]) for face in known.attributes]
        )
        for name, values in faces.attribute_values().items()
    }


def _answers(
    known: faces.Faces, disturb: Callable[[Tensor], Tensor] | None, judge: Judge | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Attribute → right (N,) and confidence (N,), of the faces in which it can be seen."""
    if known.attributes is None:
        raise JudgeError(
            f"{known.name}: what is drawn in these faces is not known, so no answer can be checked"
        )
    images = known.tensor()
    reading = read(disturb(images) if disturb else images, judge=judge)
    answers = {}
    for name in reading.confidence:
        truth = np.array([face[name] for face in known.attributes])
        named = np.array([names[name] for names in reading.names])
        visible = truth != HIDDEN
        answers[name] = (named == truth)[visible], reading.confidence[name][visible]
    return answers


# What may happen to a picture


def blur(images: Tensor, sigma: float = 1.0) -> Tensor:
    """Gaussian blur; sigma in pixels."""
    from torchvision.transforms.functional import gaussian_blur  # here: it takes seconds to import

    return gaussian_blur(images, 2 * math.ceil(3 * sigma) + 1, sigma)


def noise(images: Tensor, deviation: float = 0.1, seed: int = 0) -> Tensor:
    """Gaussian noise; a deviation of 0.1 is 13 of 255 levels."""
    generator = torch.Generator().manual_seed(seed)
    added = torch.randn(images.shape, generator=generator).to(images)
    return (images + deviation * added).clamp(-1, 1)


def shift(images: Tensor, pixels: int = 2) -> Tensor:
    """Shift to the left and up; the last column and row are repeated."""
    return F.pad(images[:, :, pixels:, pixels:], (0, pixels, 0, pixels), mode="replicate")


def jitter(images: Tensor, strength: float = 0.1, seed: int = 0) -> Tensor:
    """Brightness, contrast and saturation, each changed by chance by up to `strength`."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.rand((3, len(images), 1, 1, 1), generator=generator) * 2 - 1
    return recolour(images, *(strength * factors).to(images))


def recolour(images: Tensor, brighter: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Changes (B, 1, 1, 1) around 0: of brightness added, of contrast and saturation in parts."""
    middle = images.mean((1, 2, 3), keepdim=True)
    images = middle + (images - middle) * (1 + contrast) + brighter
    grey = images.mean(1, keepdim=True)
    return (grey + (images - grey) * (1 + saturation)).clamp(-1, 1)


DISTURBANCES = {"blur": blur, "noise": noise, "shift": shift, "jitter": jitter}


# The command: python -m course_lib.judge


def report(known: faces.Faces, judge: Judge | None = None) -> tuple[list[dict], bool]:
    """A row for each attribute, and whether every target is met.

    Keys: attribute, values, score, target, met; each disturbance with its accuracy; confidence and
    ece as they are, confidence and ece under blur and noise as "blur ece" and the like.
    """
    answers = {"": _answers(known, None, judge)}
    answers |= {how: _answers(known, disturb, judge) for how, disturb in DISTURBANCES.items()}
    rows = []
    for name, values in faces.attribute_values().items():
        right, _ = answers[""][name]
        score = Score(int(right.sum()), len(right))
        row = {"attribute": name, "values": len(values), "score": score, "target": target(name)}
        row["met"] = score.accuracy >= row["target"]
        for how, answer in answers.items():
            row[how or "accuracy"] = float(answer[name][0].mean())
            row[f"{how} confidence".strip()] = float(answer[name][1].mean())
            row[f"{how} ece".strip()] = calibration_error(*answer[name])
        rows.append(row)
    return rows, all(row["met"] for row in rows)


def _accuracy_table(rows: list[dict]) -> str:
    head = (
        f"{'attribute':14}{'values':>6}{'seen':>6}  {'accuracy':22}{'target':>6}"
        + "".join(f"{how:>8}" for how in DISTURBANCES)
        + "  met"
    )
    lines = [head]
    for row in rows:
        low, high = row["score"].interval
        lines.append(
            f"{row['attribute']:14}{row['values']:6}{row['score'].total:6}  "
            f"{row['accuracy']:6.1%} ({low:.1%}–{high:.1%})".ljust(50)
            + f"{row['target']:6.0%}"
            + "".join(f"{row[how]:8.1%}" for how in DISTURBANCES)
            + ("  yes" if row["met"] else "  NO")
        )
    return "\n".join(lines)


def _calibration_table(rows: list[dict]) -> str:
    lines = [
        f"{'':14}{'as it is':^27}{'blur':^27}{'noise':^27}",
        f"{'attribute':14}" + 3 * f"{'accuracy':>9}{'sure':>9}{'ECE':>9}",
    ]
    for row in rows:
        cells = [row["accuracy"], row["confidence"], row["ece"]]
        for how in ("blur", "noise"):
            cells += [row[how], row[f"{how} confidence"], row[f"{how} ece"]]
        lines.append(f"{row['attribute']:14}" + "".join(f"{cell:9.1%}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.judge", description="How far the judge can be trusted."
    )
    parser.add_argument(
        "--fresh", type=int, metavar="N", help="draw N new faces instead of the 600 held-out ones"
    )
    options = parser.parse_args()
    known = faces.render(options.fresh, FRESH_SEED) if options.fresh else faces.load("held-out")
    rows, met = report(known)
    print(f"{len(known):,} drawings it was not trained on; accuracy with its 95 % interval")
    print("blur σ 1 px · noise σ 13/255 · shift 2 px · brightness, contrast, saturation ±10 %\n")
    print(_accuracy_table(rows))
    print("\nCalibration: how often it is right, how sure it is, and the gap between them (ECE)\n")
    print(_calibration_table(rows))
    print("\nEvery target is met." if met else "\nNot every target is met.")
    raise SystemExit(0 if met else 1)
