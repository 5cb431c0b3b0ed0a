"""From the Hugging Face Hub to a folder on the disk: only what is needed, and never a pickle.

A folder in diffusers' layout has a `model_index.json`, which names a pipeline's parts, and a folder
for each part. The Hub's files are kept by huggingface_hub in its cache, for all who have the same
`HF_HOME`; what is there already is used without asking the network.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from course_lib.errors import CourseError
from course_lib.stable_diffusion import troubles

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

PIPELINE = "StableDiffusionPipeline"
NETWORKS = ("unet", "vae", "text_encoder", "safety_checker", "image_encoder")
ALWAYS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
VOCABULARIES = {"vocab.txt", "vocab.json", "tokenizer.json", "spiece.model", "tokenizer.model"}
SMALL_FILES = (".json", ".txt", ".model")
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_)?model(?P<half>\.fp16)?(?:-\d{5}-of-(?P<of>\d{5}))?\.safetensors"
)
PATIENCE = 10  # seconds that the Hub may take to answer

Index = Mapping[str, Any]


def from_hub(id: str, revision: str | None, others: Mapping[str, str]) -> Path:
    """The folder of a model on the Hub; what is missing from the cache is fetched first.

    others: names of the course's table and their ids, for the message when this one is of no use.
    PaintingError: see `troubles`.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    if (folder := cached(id, revision)) is not None:
        return folder
    begun = False
    instead = [name for name, other in others.items() if other != id]
    try:
        info = HfApi().model_info(id, revision=revision, files_metadata=True, timeout=PATIENCE)
        begun = True
        file = hf_hub_download(id, "model_index.json", revision=info.sha)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        wanted = needed(id, read_index(Path(file).parent, id), sizes, instead)
        check_disk(id, sum(sizes[name] for name in wanted if not _is_here(info, name)))
        return Path(snapshot_download(id, revision=revision, allow_patterns=wanted))
    except CourseError:
        raise
    except Exception as error:  # of the network, the disk, or the Hub: there are very many
        raise troubles.from_hub(
            error, id, revision=revision, others=instead, begun=begun
        ) from error


def cached(id: str, revision: str | None = None) -> Path | None:
    """Its folder in the cache, if all that is needed is there; the network is not asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        index = snapshot_download(
            id, revision=revision, local_files_only=True, allow_patterns=["model_index.json"]
        )
    except LocalEntryNotFoundError:
        return None
    folder = Path(index)
    if not (folder / "model_index.json").is_file() or missing(folder, read_index(folder, id)):
        return None
    return folder


def read_index(folder: Path, name: str | Path | None = None) -> Index:
    """What `model_index.json` says; PaintingError if it is not that of a Stable Diffusion."""
    name = folder if name is None else name
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        kind = index["_class_name"]
    except FileNotFoundError as error:
        raise troubles.not_a_pipeline(name, "it has no model_index.json", error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise troubles.not_a_pipeline(name, "its model_index.json is damaged", error) from error
    if kind != PIPELINE:
        raise troubles.not_a_pipeline(name, f"it is a {kind}, and the course needs a {PIPELINE}")
    if lacking := [part for part in ALWAYS if part not in parts(index)]:
        raise troubles.not_a_pipeline(name, f"its model_index.json names no {lacking[0]}")
    return index


def parts(index: Index) -> dict[str, tuple[str, str]]:
    """The library and the class of each part that there is."""
    found = {part: tuple(is_a) for part, is_a in index.items() if isinstance(is_a, list)}
    return {part: is_a for part, is_a in found.items() if len(is_a) == 2 and is_a[1] is not None}


def needed(id: str, index: Index, files: Iterable[str], others: Iterable[str] = ()) -> list[str]:
    """Of all files of a repository those that the pipeline needs; PaintingError if not safetensors.

    Where a network's weights are there in 16 bits, too (`*.fp16.safetensors`), those: they are half
    as much to fetch. On a CPU they become 32 bits when they are loaded.
    """
    files = list(files)
    wanted, pickles = {"model_index.json"}, []
    for part in parts(index):
        of_part = [file for file in files if file.rpartition("/")[0] == part]
        wanted.update(file for file in of_part if file.endswith(SMALL_FILES))
        if part in NETWORKS:
            weights, _ = weights_among(of_part)
            wanted.update(weights)
            pickles += [] if weights else [part]
    if pickles:
        raise troubles.only_pickle(id, pickles, others)
    return sorted(wanted)


def weights_among(files: Iterable[str]) -> tuple[list[str], str | None]:
    """The files with a network's weights, and their variant: "fp16" where there are such, or None.

    Empty when there are none, or not all that belong together.
    """
    found: dict[str | None, list[str]] = {"fp16": [], None: []}
    of = {}
    for file in sorted(files):
        if match := WEIGHTS.fullmatch(file.rpartition("/")[2]):
            variant = "fp16" if match["half"] else None
            found[variant].append(file)
            of[variant] = int(match["of"] or 1)
    for variant, weights in found.items():
        if weights and len(weights) >= of[variant]:
            return weights, variant
    return [], None


def missing(folder: Path, index: Index) -> list[str]:
    """The parts whose files are not, or not all, in the folder."""
    lacking = []
    for part in parts(index):
        files = {file.name for file in (folder / part).glob("*") if file.is_file()}
        if part in NETWORKS:
            whole = "config.json" in files and bool(weights_among(files)[0])
        elif part == "tokenizer":
            whole = "tokenizer_config.json" in files and bool(files & VOCABULARIES)
        else:
            whole = any(file.endswith(".json") for file in files)
        lacking += [] if whole else [part]
    return lacking


def sizes(folder: Path, index: Index) -> dict[str, int]:
    """How many numbers each network has, by the heads of its files.

    PaintingError when a file is cut short or otherwise damaged.
    """
    counted = {}
    for part in NETWORKS:
        if part not in parts(index):
            continue
        counted[part] = 0
        for name in weights_among(file.name for file in (folder / part).iterdir())[0]:
            file = folder / part / name
            try:
                with safe_open(file, framework="pt") as weights:
                    shapes = [weights.get_slice(key).get_shape() for key in weights.keys()]  # noqa: SIM118
            except SafetensorError as error:
                raise troubles.damaged(file, error) from error
            counted[part] += sum(math.prod(shape) for shape in shapes)
    return counted


def check_disk(id: str, needed: int) -> None:
    """PaintingError when so many bytes would not fit beside what is there."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    disk = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(disk).free
    if needed > free:
        raise troubles.disk_full(id, needed / 1e9, free / 1e9)


def _is_here(info: ModelInfo, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(info.id, file, revision=info.sha), str)
