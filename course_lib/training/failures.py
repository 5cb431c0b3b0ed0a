"""What can go wrong in a training, and how it is told."""

import torch

from course_lib.errors import CourseError


class TrainingError(CourseError, RuntimeError):
    """A training cannot go on; the message says what is saved, where, and what to do."""


class BadLossError(TrainingError):
    """A loss or a weight became NaN or infinite."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be used, or not be written."""


class OutOfMemoryError(TrainingError):
    """The memory, of the machine or of the GPU, is too small for this step."""


def what_to_try(rates: str = "") -> str:
    return (
        "Training stopped, and the networks in memory are spoilt. Try learning rates half as "
        f'large{rates}, then precision="no", then a look at the data for values outside [-1, 1].'
    )


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a class of its own for GPUs only."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(word in str(error).lower() for word in words)
