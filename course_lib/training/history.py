"""What a training leaves behind."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Snapshot:
    """Pictures from the same noise at one moment of a training."""

    step: int
    pictures: np.ndarray  # uint8 (n, S, S, 3)
    measures: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """What happened: `losses` has every name the step returned, one number a step."""

    batch_size: int
    losses: dict[str, list[float]] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""  # "", "interrupted" or "out of time"
    threads: int = 0  # of a CPU, that it ran on

    @property
    def steps(self) -> int:
        return max((len(values) for values in self.losses.values()), default=0)

    @property
    def images(self) -> int:
        return self.steps * self.batch_size

    def mean(self, name: str, last: int = 50) -> float:
        """The mean of the last values of one loss: single batches jump about."""
        return float(np.mean(self.losses[name][-last:]))

    def curve(self, name: str, points: int = 200) -> list[float]:
        """One loss as at most so many means over steps that follow each other."""
        parts = np.array_split(self.losses[name], points)
        return [round(float(part.mean()), 3) for part in parts if len(part)]
