"""What the judge sees in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib import faces
from course_lib.captions import HIDDEN, vocabulary
from course_lib.judge.network import Judge, JudgeError, check_images, load


@dataclass(frozen=True)
class Reading:
    """What the judge sees in B pictures.

    names: for each picture, attribute → value, with the values of `faces.attribute_values()` and
        "hidden" for a colour that cannot be seen: of closed eyes, of a ribbon that is not there.
    confidence: attribute → (B,), the probability that the named value is right.
    """

    names: list[dict[str, str]]
    confidence: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Reading({len(self)} pictures, {len(self.confidence)} attributes)"

    def shares(self, attribute: str) -> dict[str, float]:
        """Value → its share among the pictures in which the attribute can be seen.

        Every known value is there; all are 0 if it can be seen in none. JudgeError if unknown.
        """
        known = faces.attribute_values()
        if attribute not in known:
            raise JudgeError(f"unknown attribute {attribute!r}; known: {', '.join(known)}")
        seen = [names[attribute] for names in self.names if names[attribute] != HIDDEN]
        return {value: seen.count(value) / max(len(seen), 1) for value in known[attribute]}


@torch.inference_mode()
def read(
    images: Tensor | faces.Faces, batch_size: int = 256, judge: Judge | None = None
) -> Reading:
    """Name every attribute of every picture.

    images: float (B, 3, 64, 64) in [-1, 1] on any device, or Faces of 64 pixels.
    judge: another network than the trained one, in evaluation mode.

    JudgeError for anything else; it says how to make it right.
    """
    judge = judge or load()
    images = images.tensor() if isinstance(images, faces.Faces) else images
    check_images(images)
    _check_range(images)
    device = judge.temperature.device
    batches = [judge(batch.float().to(device)) for batch in images.split(batch_size)]
    probabilities = {
        name: torch.cat([batch[name] for batch in batches]).softmax(1).cpu().numpy()
        for name in judge.values
    }
    return _named(probabilities, judge.values)


def _named(probabilities: dict[str, np.ndarray], values: Mapping[str, Sequence[str]]) -> Reading:
    """The likeliest value of each attribute, and how likely it is."""
    best = {name: p.argmax(1) for name, p in probabilities.items()}
    names = {name: np.array(values[name], dtype=object)[best[name]] for name in values}
    confidence = {name: p.max(1) for name, p in probabilities.items()}
    for name, conditions in _hidden_when().items():
        for cause, hiding in conditions.items():
            columns = [values[cause].index(value) for value in hiding]
            hidden_for_sure = probabilities[cause][:, columns].sum(1)
            hidden = np.isin(best[cause], columns)
            names[name] = np.where(hidden, HIDDEN, names[name])
            confidence[name] = np.where(
                hidden, hidden_for_sure, confidence[name] * (1 - hidden_for_sure)
            )
    count = len(best[next(iter(best))])
    return Reading(
        [{name: str(names[name][i]) for name in values} for i in range(count)], confidence
    )


def _hidden_when() -> dict[str, dict[str, list[str]]]:
    """Colour → the attribute and its values that hide it, as {"eye_color": {"eye_shape": …}}."""
    entries = vocabulary()["attributes"]
    return {name: e["hidden_when"] for name, e in entries.items() if e.get("hidden_when")}


def _check_range(images: Tensor) -> None:
    if len(images) == 0:
        raise JudgeError("there are no images to read")
    if not images.isfinite().all():
        raise JudgeError("some pixels are NaN or infinite: the network that painted them is spoilt")
    low, high = (float(end) for end in images.aminmax())
    if high > 2:
        raise JudgeError(
            f"images are in [-1, 1], these reach {high:.0f}: from 0…255, images / 127.5 - 1"
        )
    if low < -1.01 or high > 1.01:
        raise JudgeError(
            f"images are in [-1, 1], these go from {low:.2f} to {high:.2f}: images.clamp(-1, 1)"
        )
    if low >= 0 and high > 0:
        raise JudgeError("images are in [-1, 1], these seem to be in [0, 1]: images * 2 - 1")
