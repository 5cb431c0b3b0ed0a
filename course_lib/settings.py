"""Where things are and how much work to do. Every value can be set by an environment variable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from course_lib.errors import CourseError

if TYPE_CHECKING:
    import torch

_DEVICES = ("cpu", "cuda", "mps")
_BUDGETS = ("quick", "full")


def data_dir() -> Path:
    """The course's own data: inside the package when it is installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def cache_dir() -> Path:
    """Where pictures and downloads are kept: `COURSE_CACHE`, or the user's own cache folder."""
    chosen = os.environ.get("COURSE_CACHE")
    path = Path(chosen) if chosen else platformdirs.user_cache_path("ai-painting-course")
    path.mkdir(parents=True, exist_ok=True)
    return path


def device() -> "torch.device":
    """Where to train: `COURSE_DEVICE` (cpu, cuda, mps), or the fastest one that is here.

    A CPU that was chosen with `accelerate config` or `accelerate launch --cpu` is one, too.
    """
    import torch  # here, since the processes that draw faces do not need it

    chosen = os.environ.get("COURSE_DEVICE")
    if chosen:
        if chosen.partition(":")[0] not in _DEVICES:
            raise CourseError(f"COURSE_DEVICE is {chosen!r}; known devices: {', '.join(_DEVICES)}.")
        return torch.device(chosen)
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def budget() -> str:
    """How long lessons may train: `COURSE_BUDGET`, or "full" with a CUDA GPU, else "quick"."""
    chosen = os.environ.get("COURSE_BUDGET")
    if chosen:
        if chosen not in _BUDGETS:
            raise CourseError(f"COURSE_BUDGET is {chosen!r}; known budgets: {', '.join(_BUDGETS)}.")
        return chosen
    return "full" if device().type == "cuda" else "quick"


def checkpoint() -> str:
    """The Stable Diffusion to paint with: `COURSE_CHECKPOINT`, or "course", the course's own.

    A name of `stable_diffusion.CHECKPOINTS`, an id of the Hugging Face Hub (owner/name), or a local
    folder; `stable_diffusion.load` says so when it is none of these.
    """
    return os.environ.get("COURSE_CHECKPOINT", "").strip() or "course"


@contextmanager
def one_thread() -> Iterator[None]:
    """For small networks on a CPU; afterwards there are as many threads as before.

    Threads wait for each other many times in a step, and a small network's steps become mostly such
    waiting: seen with two threads, and the waiting one asleep, to take five times as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
