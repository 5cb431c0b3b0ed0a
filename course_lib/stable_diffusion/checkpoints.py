"""One function that loads any checkpoint as a pipeline.

From the course's own small painter to the real Stable Diffusion it is one argument, or one setting
(`COURSE_CHECKPOINT`): both are a diffusers `StableDiffusionPipeline`, and `paint` paints with both.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from course_lib import pretrained, settings
from course_lib.stable_diffusion import fetching, troubles
from course_lib.stable_diffusion.estimating import estimate
from course_lib.stable_diffusion.table import CHECKPOINTS, Checkpoint, find
from course_lib.stable_diffusion.troubles import explained

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from torch import nn

GB = 1e9
WORKING = 1.0  # GB beside the weights, for one picture of 512 × 512 in 16 bits; more than it takes
LARGE = 0.5  # GB of weights in 16 bits, from which on 32 bits would be a waste on a GPU
LIBRARIES = {
    "diffusers": "diffusers",
    "transformers": "transformers",
    "stable_diffusion": "diffusers.pipelines.stable_diffusion",
}


def fetch(name: str | Path | None = None) -> Path:
    """The checkpoint's folder, in diffusers' layout; fetched from the Hub if it is not here yet.

    For those who will have no network later. Files go to huggingface_hub's cache (`HF_HOME`), which
    many may share; safetensors only, in 16 bits where there are such. After an interruption the
    files that were whole are kept.

    PaintingError: no network, no such model, a gated one, a full disk, no safetensors, a folder in
    another layout.
    """
    checkpoint = find(name)
    if checkpoint is CHECKPOINTS["course"]:
        return pretrained.whole_folder(checkpoint.id)
    if (folder := checkpoint.folder) is None:
        others = {one.name: one.id for one in CHECKPOINTS.values()}
        return fetching.from_hub(checkpoint.id, checkpoint.revision, others)
    if lacking := fetching.missing(folder, fetching.read_index(folder)):
        why = f"it has no {lacking[0]} that is whole, with its weights as safetensors"
        raise troubles.not_a_pipeline(folder, why)
    return folder


def load(name: str | Path | None = None) -> StableDiffusionPipeline:
    """A checkpoint as diffusers' `StableDiffusionPipeline`, on `settings.device()`, ready to paint.

    name: of `CHECKPOINTS`, an id of the Hub (owner/name), or a folder with a model_index.json.
    None: what the setting `COURSE_CHECKPOINT` says, else "course".

    On a CUDA GPU a large one has 16 bits, and is moved there as a whole or, when memory is short,
    in parts (see `placement`); elsewhere 32 bits. No pickle is opened, and no code that comes with
    a model is run. A safety checker stays where the repository has one. What is known of it,
    its own steps and guidance, is in `pipeline.checkpoint`.

    PaintingError: as `fetch`, and when memory is short, a file is damaged, or weights are missing.
    """
    checkpoint, device = find(name), settings.device()
    check_device(device, checkpoint)
    folder = fetch(name)
    index = fetching.read_index(folder)
    counts = fetching.sizes(folder, index)
    checkpoint = described(checkpoint, folder, counts)
    large = 2 * sum(counts.values()) / GB > LARGE
    dtype = torch.float16 if device.type == "cuda" and large else torch.float32
    check_memory(checkpoint, dtype.itemsize * sum(counts.values()) / GB)
    with explained(checkpoint.name):
        pipeline = assemble(folder, index, dtype)
        pipeline.checkpoint = checkpoint
        place(pipeline, device)
    if large and device.type != "cuda":
        print(estimate(checkpoint, device))
    return pipeline


def described(checkpoint: Checkpoint, folder: Path, counts: Mapping[str, int]) -> Checkpoint:
    """One that is not in the table, with what its files say of its memory, side and steps."""
    if checkpoint.name in CHECKPOINTS and checkpoint.folder is None:
        return checkpoint
    unet, vae, scheduler = (
        json.loads((folder / part).read_text(encoding="utf-8"))
        for part in ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json")
    )
    side = unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)
    own = scheduler.get("use_flow_sigmas", False)  # built as the course's: few steps, and straight
    like = CHECKPOINTS["course" if own else "sd15"]
    return replace(
        checkpoint,
        memory=2 * sum(counts.values()) / GB + working(side),
        side=side,
        steps=like.steps,
        guidance=like.guidance,
        checker="safety_checker" in counts,
    )


def working(side: int) -> float:
    """GB beside the weights for one picture."""
    return WORKING * (side / 512) ** 2


def check_device(device: torch.device, checkpoint: Checkpoint) -> None:
    """PaintingError when `COURSE_DEVICE` asks for a GPU that is not there."""
    try:
        torch.zeros(1, device=device)
    except (AssertionError, RuntimeError) as error:
        if troubles.is_memory_full(error):
            raise troubles.memory_full(checkpoint.name) from error
        cpu = torch.device("cpu")
        raise troubles.no_gpu(device, estimate(checkpoint, cpu), error) from error


def check_memory(checkpoint: Checkpoint, weights: float) -> None:
    """PaintingError when the computer's own memory is too small for so many GB of weights.

    They pass through it on their way to a GPU, too.
    """
    import psutil  # came with accelerate

    needed, free = weights + working(checkpoint.side), psutil.virtual_memory().available / GB
    if needed > free:
        raise troubles.short_of_memory(checkpoint.name, needed, free)


def assemble(folder: Path, index: fetching.Index, dtype: torch.dtype) -> StableDiffusionPipeline:
    """The pipeline of a folder; PaintingError when a weight would have stayed random.

    The networks are loaded one by one: only so the libraries tell which weights they did not find,
    and take a `dtype` in all their versions without a warning.
    """
    from diffusers import StableDiffusionPipeline

    networks = {
        part: network(folder / part, library, kind, dtype)
        for part, (library, kind) in fetching.parts(index).items()
        if part in fetching.NETWORKS
    }
    try:
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **networks
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise troubles.not_a_pipeline(folder, "its parts cannot be loaded", error) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def network(folder: Path, library: str, kind: str, dtype: torch.dtype) -> nn.Module:
    """One network of a pipeline, with all its weights from safetensors."""
    from transformers import PreTrainedModel

    part = folder.name
    if library not in LIBRARIES:
        why = f"its {part} is of {library!r}, and code that comes with a model is not run"
        raise troubles.not_a_pipeline(folder.parent, why)
    _, variant = fetching.weights_among(file.name for file in folder.iterdir())
    try:
        kind = getattr(importlib.import_module(LIBRARIES[library]), kind)
        # diffusers' networks know `torch_dtype` in all versions, transformers' warn of it
        name = "dtype" if issubclass(kind, PreTrainedModel) else "torch_dtype"
        options: dict[str, Any] = {name: dtype, "variant": variant}
        loaded, told = kind.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if troubles.is_memory_full(error):
            raise
        raise troubles.not_a_pipeline(
            folder.parent, f"its {part} cannot be loaded", error
        ) from error
    wrong = [key if isinstance(key, str) else key[0] for key in told["mismatched_keys"]]
    if lost := {*told["missing_keys"], *wrong}:
        raise troubles.random_weights(part, lost)
    return loaded.eval()


def placement(free: float, weights: float, largest: float, working: float) -> str:
    """Where a pipeline's networks are best kept, by a GPU's free memory; all in GB.

    weights: of all networks. largest: of the largest one. working: beside them.

    "whole": all on the GPU. "parts": each network only while it works. "layers": even the largest
    one does not fit, so each layer only while it works, which is slow; and the decoder paints tile
    by tile. Attention is not cut into slices: PyTorch's own needs no more memory, and is faster.
    """
    if weights + working <= free:
        return "whole"
    return "parts" if largest + working <= free else "layers"


def place(pipeline: StableDiffusionPipeline, device: torch.device) -> str:
    """Move a pipeline to where it paints, as `placement` says, and tell when that is in parts."""
    if device.type != "cuda":
        pipeline.to(device)
        return "whole"
    sizes = [
        sum(one.numel() * one.element_size() for one in part.parameters()) / GB
        for part in pipeline.components.values()
        if isinstance(part, torch.nn.Module)
    ]
    torch.cuda.empty_cache()  # what PyTorch keeps of an earlier pipeline would count as taken
    free, checkpoint = torch.cuda.mem_get_info(device)[0] / GB, pipeline.checkpoint
    how = placement(free, sum(sizes), max(sizes), working(checkpoint.side))
    if how == "whole":
        pipeline.to(device)
        return how
    if how == "parts":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)
        pipeline.vae.enable_slicing()
        pipeline.vae.enable_tiling()
    print(
        f"{checkpoint.name}: {free:.1f} GB of the GPU's memory are free, {sum(sizes):.1f} GB of "
        f"weights would not fit; so its {how} are moved there only while they work (slower)."
    )
    return how
