"""What can go wrong with a checkpoint, told so that it helps: what it is, and what to do next.

The libraries' own errors stay as the cause of ours (`__cause__`), for those who want to read them.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from course_lib.errors import CourseError

OWN = 'The course\'s own painter needs neither network nor GPU: load("course").'
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
MEMORY_IS_FULL = ("out of memory", "can't allocate memory", "cannot allocate memory")
ON_COLAB = "On Colab: Runtime → Change runtime type → T4 GPU."


class PaintingError(CourseError):
    """A checkpoint cannot be loaded, or cannot paint; the message says why and what to do."""


def unknown(name: object, known: Iterable[str]) -> PaintingError:
    return PaintingError(
        f"There is no checkpoint {str(name)!r}. Known names: {', '.join(known)}. Any other is an "
        "id of the Hugging Face Hub, owner/name, or the path of a folder with a model_index.json. "
        "It is chosen by load(name), or by the environment variable COURSE_CHECKPOINT."
    )


def from_hub(
    error: Exception, id: str, *, revision: str | None, others: Iterable[str], begun: bool
) -> PaintingError:
    """What an error of huggingface_hub means for the checkpoint with this id.

    others: what to take instead. begun: the list of files had come, so there is a network.
    """
    from huggingface_hub import errors as hub

    others = ", ".join(f'"{name}"' for name in others)
    instead = f"Take another, load(name) or COURSE_CHECKPOINT=name, with one of {others}. {OWN}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub.GatedRepoError):
        return PaintingError(
            f"{id} is gated: its owner wants you to accept the licence first. Do so at "
            f"https://huggingface.co/{id}, then log in here with `hf auth login`, and run this "
            f"again. Or: {instead}"
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return PaintingError(
            f"{id} has no revision {revision or 'main'!r} any more, from which the course takes "
            f"its safetensors. {instead}"
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        return PaintingError(
            f"There is no model {id!r} on the Hub for you to read: it was renamed, withdrawn, or "
            f"made private (then `hf auth login` helps). Look for it at "
            f"https://huggingface.co/models. {instead}"
        )
    if isinstance(error, hub.RemoteEntryNotFoundError):
        return not_a_pipeline(id, "it has no model_index.json", error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return PaintingError(f"The disk is full. {_move_the_cache()} {_go_on()}")
    if getattr(error, "errno", None) in NOT_WRITABLE:
        return PaintingError(f"The cache cannot be written to. {_move_the_cache()}")
    if status in (401, 403):
        return PaintingError(
            f"The Hub does not let you read {id} (status {status}): the token that is stored here "
            "is wrong or too weak. `hf auth login` stores another, `hf auth logout` forgets it."
        )
    if status is not None:
        return PaintingError(
            f"The Hub answered with status {status} and not with {id}. Wait a while. {_go_on()} "
            f"Or: {instead}"
        )
    if begun:
        return PaintingError(f"The download of {id} was interrupted ({_brief(error)}). {_go_on()}")
    return no_network(id, error)


def no_network(id: str, error: Exception) -> PaintingError:
    from huggingface_hub import constants

    switched_off = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
    return PaintingError(
        f"{id} is not, or not wholly, in {constants.HF_HUB_CACHE}, and the Hub cannot be reached"
        f"{switched_off} ({_brief(error)}). {OWN} With a network, fetch it beforehand: "
        f"python -c \"from course_lib import stable_diffusion as s; s.fetch('{id}')\". "
        "Where huggingface.co is blocked, the variable HF_ENDPOINT can name a mirror of it."
    )


def disk_full(id: str, needed: float, free: float) -> PaintingError:
    """needed, free: in GB."""
    return PaintingError(
        f"{id} needs {needed:.3g} GB more on the disk, and {free:.3g} GB are free. "
        f"{_move_the_cache()} {OWN}"
    )


def only_pickle(id: str, parts: Iterable[str], others: Iterable[str]) -> PaintingError:
    return PaintingError(
        f"{id} has no safetensors for {', '.join(parts)}. Other files of weights are pickles, "
        "which can run any program when they are opened; the course does not open them. Take "
        f"{' or '.join(others)}, or a revision that has safetensors, see {id}'s page, "
        "Community: a bot of the Hub converts models there."
    )


def not_a_pipeline(name: str | Path, why: str, error: Exception | None = None) -> PaintingError:
    return PaintingError(
        f"{name} is not a Stable Diffusion in diffusers' layout: {why}. Such a folder is what "
        "`pipeline.save_pretrained(folder)` writes: a model_index.json that names a "
        "StableDiffusionPipeline, and a folder for each part."
        + (f" ({_brief(error)})" if error is not None else "")
    )


def damaged(file: Path, error: Exception) -> PaintingError:
    """A file in the cache is a link; what it points to has to go, too."""
    whole = file.resolve()
    both = str(file) if whole == file.absolute() else f"{whole} (and the link to it, {file})"
    return PaintingError(
        f"{file.parent.name}/{file.name} is damaged ({_brief(error)}). Delete {both}, and run this "
        "again: a file of the Hub is fetched anew, one of your own has to be saved anew."
    )


def random_weights(part: str, names: Iterable[str]) -> PaintingError:
    names = sorted(names)
    return PaintingError(
        f"{len(names)} weights of the {part} are not in its file, for example {names[0]}: they "
        "would stay random, and so would the pictures. The file was saved by another version of "
        "transformers or diffusers, or for another network: save or fetch it anew."
    )


def no_gpu(device: torch.device, estimate: str, error: Exception) -> PaintingError:
    return PaintingError(
        f"COURSE_DEVICE is {device}, and there is no such GPU here ({_brief(error)}). {ON_COLAB} "
        f"Or leave COURSE_DEVICE out and paint on the CPU: {estimate}"
    )


def short_of_memory(name: str, needed: float, free: float) -> PaintingError:
    """Before anything is loaded; needed, free: in GB."""
    return PaintingError(
        f"{name} needs about {needed:.3g} GB of the computer's memory, and {free:.3g} are free. "
        f"Shut down other notebooks (Kernel → Shut Down) and programs. {OWN} {ON_COLAB}"
    )


def memory_full(name: str) -> PaintingError:
    return PaintingError(
        f"The memory is full: {name} did not fit beside what is there. Paint fewer pictures at "
        "once (paint(…, at_once=1)), or smaller ones (paint(…, side=256)); let only that part of "
        "the pipeline be on the GPU that works (pipeline.enable_model_cpu_offload()); shut down "
        "other notebooks (Kernel → Shut Down); or load a smaller checkpoint."
    )


@contextmanager
def explained(name: str = "the pipeline") -> Iterator[None]:
    """Within the block, full memory becomes a `PaintingError` that says what to do.

    What was being computed is let go, so that there is room for another, smaller try.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_memory_full(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what was being computed
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise memory_full(name) from error


def is_memory_full(error: BaseException) -> bool:
    """CUDA has a class for it; a CPU and Apple's GPUs only say so in words."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in MEMORY_IS_FULL)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _go_on() -> str:
    return "Run this again: files that are whole are kept, and the rest is fetched."


def _move_the_cache() -> str:
    from huggingface_hub import constants

    return (
        f"The cache is {constants.HF_HUB_CACHE}; `hf cache ls` shows what is in it. To have it on "
        "another disk, set the variable HF_HOME to a folder there, before Python starts."
    )
