"""Weights in and out: safetensors and a manifest with hashes, never pickle.

`data/weights/manifest.json` says of each network by name how it is built, which file has its
weights, the hash of that file, and the training they took. A network may also have a film: pictures
of always the same noise, taken while it was trained.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from course_lib import settings
from course_lib.errors import CourseError
from course_lib.files import atomic, sha256
from course_lib.pixels import cut_grid, image_grid
from course_lib.training import Snapshot

Network = TypeVar("Network", bound=nn.Module)

_NUMBERS = re.compile(r"\[[\s\d.,eE+-]+\]")  # lists of numbers, to be written on one line
LARGEST_FILE = 16 * 2**20  # a repository should stay quick to clone


class PretrainedError(CourseError):
    """Weights cannot be used; the message says why and what to do."""


def names(folder: str | Path | None = None) -> list[str]:
    """The networks whose weights are here."""
    return sorted(_manifest(_folder(folder)))


def describe(name: str, folder: str | Path | None = None) -> dict[str, Any]:
    """What the manifest says of a network: config, training, hashes."""
    manifest = _manifest(_folder(folder))
    if name not in manifest:
        known = ", ".join(sorted(manifest)) or "none yet"
        raise PretrainedError(f"there are no weights named {name!r}; known names: {known}")
    return manifest[name]


def load(name: str, build: Callable[..., Network], folder: str | Path | None = None) -> Network:
    """`build(**config)` with the weights of that name, on `settings.device()`, ready to use.

    Raises PretrainedError when the name is unknown, the file is not what the manifest's hash says,
    or `build` makes another network than the one that was saved.
    """
    about = describe(name, folder)
    if "file" not in about:
        raise PretrainedError(f"{name!r} is a folder: use `pretrained.whole_folder`")
    path = _verified(_folder(folder) / about["file"], about["sha256"])
    network = build(**about["config"])
    try:
        weights = load_file(path)
        network.load_state_dict(weights)  # 16-bit numbers become 32-bit ones here
    except (RuntimeError, SafetensorError) as error:
        raise PretrainedError(
            f"{path.name} does not fit {type(network).__name__}({_brief(about['config'])}): {error}"
        ) from error
    return network.to(settings.device()).eval()


def _brief(config: Mapping[str, Any]) -> str:
    """Without what would fill the screen, such as a vocabulary."""
    return ", ".join(f"{name}={value}" for name, value in config.items() if len(str(value)) < 40)


def save(
    name: str,
    network: nn.Module,
    *,
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    film: Sequence[Snapshot] = (),
    folder: str | Path | None = None,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write a network's weights (16 bits each), its film, and its line in the manifest.

    config: what `load` gives to `build`. training: what it took, for those who ask.

    Raises PretrainedError when a weight is not finite, or when the course's own folder would get a
    file of more than 16 MiB.
    """
    largest = None if folder else LARGEST_FILE
    folder = _folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: value.detach().cpu().to(dtype if value.is_floating_point() else None).contiguous()
        for key, value in network.state_dict().items()
    }
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise PretrainedError(f"{key} has values that are not finite in {dtype}; not saved")
    path = folder / f"{name}.safetensors"
    with atomic(path) as temporary:
        save_file(tensors, temporary)
        size = temporary.stat().st_size
        if largest and size > largest:
            raise PretrainedError(
                f"{path.name} would have {size / 2**20:.1f} MiB; a file of the repository may have "
                f"{largest // 2**20}: choose a smaller width"
            )
    about = {
        "file": path.name,
        "sha256": sha256(path),
        "network": type(network).__name__,
        "config": dict(config),
        "training": dict(training),
    }
    if film:
        about["film"] = _save_film(film, folder / f"{name}-film.webp")
    _note(folder, name, about)
    return path


def _note(folder: Path, name: str, about: Mapping[str, Any]) -> None:
    """Its line in the manifest, in the place of the one before."""
    manifest = _manifest(folder) | {name: about}
    with atomic(folder / "manifest.json") as temporary:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
        text = _NUMBERS.sub(lambda found: "".join(found[0].split()), text)
        temporary.write_text(text + "\n", encoding="utf-8")


def save_folder(
    name: str,
    write: Callable[[Path], Any],
    *,
    training: Mapping[str, Any],
    film: Sequence[Snapshot] = (),
    folder: str | Path | None = None,
) -> Path:
    """Let `write` fill a folder of that name, such as a diffusers pipeline's, and note all hashes.

    The folder is filled under another name and put in the place of the one before when it is whole;
    the film stands beside it.
    PretrainedError when the course's own would get a file of more than 16 MiB.
    """
    largest = None if folder else LARGEST_FILE
    parent = _folder(folder)
    path, new, old = (parent / f"{name}{end}" for end in ("", ".new", ".old"))
    for rest in (new, old):  # of an interruption
        shutil.rmtree(rest, ignore_errors=True)
    new.mkdir(parents=True)
    write(new)
    files = sorted(file for file in new.rglob("*") if file.is_file())
    for file in files:
        if largest and file.stat().st_size > largest:
            raise PretrainedError(
                f"{file.name} would have {file.stat().st_size / 2**20:.1f} MiB; a file of the "
                f"repository may have {largest // 2**20}: choose a smaller network"
            )
    hashes = {file.relative_to(new).as_posix(): sha256(file) for file in files}
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    about = {"folder": name, "files": hashes, "training": dict(training)}
    if film:
        about["film"] = _save_film(film, parent / f"{name}-film.webp")
    _note(parent, name, about)
    return path


def whole_folder(name: str, folder: str | Path | None = None) -> Path:
    """The folder of that name, each of its files as the manifest's hashes say."""
    about = describe(name, folder)
    if "files" not in about:
        raise PretrainedError(f"{name!r} is a file, {about['file']}: use `pretrained.load`")
    path = _folder(folder) / about["folder"]
    for file, stated in about["files"].items():
        _verified(path / file, stated)
    return path


def film(name: str, folder: str | Path | None = None) -> list[Snapshot]:
    """The pictures that were taken while the network of that name was trained."""
    about = describe(name, folder).get("film")
    if about is None:
        raise PretrainedError(f"{name!r} has no film")
    path = _verified(_folder(folder) / about["file"], about["sha256"])
    pictures = cut_grid(np.asarray(Image.open(path).convert("RGB")), about["size"])
    moments = np.split(pictures, len(about["steps"]))
    return [
        Snapshot(
            step,
            images[: about.get("faces")],  # the last row of a moment may be filled up with white
            {name: values[i] for name, values in about["measures"].items()},
        )
        for i, (step, images) in enumerate(zip(about["steps"], moments, strict=True))
    ]


def continued(
    name: str,
    training: Mapping[str, Any],
    moments: Sequence[Snapshot] = (),
    folder: str | Path | None = None,
) -> dict[str, Any]:
    """What `save` should note of weights that went on from those of that name.

    The training before stands in the new one as "before"; the films are joined, and steps counted
    from the beginning of the first.
    """
    about = describe(name, folder)
    past = film(name, folder) if moments and "film" in about else []
    done = past[-1].step if past else 0
    more = [replace(one, step=done + one.step) for one in moments if one.step or not past]
    return {"training": {**training, "before": about["training"]}, "film": [*past, *more]}


def choose_moments(
    snapshots: Sequence[Snapshot], moments: int = 25, faces: int = 32
) -> list[Snapshot]:
    """A film of a training: so many moments, closer together at the beginning, of a few faces.

    Moments whose pictures are lost are left out; [] when there are none.
    """
    whole = [snapshot for snapshot in snapshots if len(snapshot.pictures)]
    if not whole:
        return []
    steps = np.array([snapshot.step for snapshot in whole])
    wanted = steps[-1] * np.linspace(0, 1, moments) ** 3
    chosen = sorted({int(np.abs(steps - step).argmin()) for step in wanted})
    return [replace(whole[i], pictures=whole[i].pictures[:faces]) for i in chosen]


def _save_film(film: Sequence[Snapshot], path: Path) -> dict[str, Any]:
    """One tall picture: the moments under each other, each in rows of 8."""
    grids = [image_grid(snapshot.pictures, columns=8, gap=0) for snapshot in film]
    with atomic(path) as temporary:
        strip = Image.fromarray(np.concatenate(grids))
        strip.save(temporary, format="WEBP", quality=85, method=6)
    number, size = film[0].pictures.shape[:2]
    return {
        "file": path.name,
        "sha256": sha256(path),
        "size": size,
        "faces": number,
        "steps": [snapshot.step for snapshot in film],
        "measures": {
            name: [round(snapshot.measures[name], 4) for snapshot in film]
            for name in film[0].measures
        },
    }


def _folder(folder: str | Path | None) -> Path:
    return Path(folder) if folder else settings.data_dir() / "weights"


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PretrainedError(f"{path.name} in {folder} is not valid JSON: {error}") from error


def _verified(path: Path, stated: str) -> Path:
    if not path.exists():
        raise PretrainedError(f"{path.name} is missing from {path.parent}: install the course anew")
    found = sha256(path)
    if found != stated:
        raise PretrainedError(
            f"{path.name} has the SHA-256 {found[:12]}…, the manifest says {stated[:12]}…: "
            "the file is damaged or was changed, and is not loaded. Install the course anew."
        )
    return path
