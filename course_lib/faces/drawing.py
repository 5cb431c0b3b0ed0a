"""New faces: a style's parts and colours by chance, painted by resvg on all cores, and kept."""

import functools
import json
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata, resources
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from course_lib import settings
from course_lib.captions import HIDDEN, describe, vocabulary
from course_lib.faces import checks
from course_lib.faces.checks import FacesError
from course_lib.faces.table import SMALL, Faces, open_square, progress, read
from course_lib.files import digest, lock

OWN_STYLE = "anime-face"
CHUNK = 32  # faces that a process draws at a time
# Of the code that draws and describes: raise it when the same style and words come out otherwise,
# and what lies in the caches of students is drawn anew.
VERSION = 1
PACKAGES = ("dicebear-core", "resvg-py", "pillow")  # which the pixels depend on, too
WAIT = 3600  # seconds for another process that draws the same; afterwards both draw


def render(
    n: int,
    seed: int = 0,
    size: int = 64,
    style: str = OWN_STYLE,
    attributes: dict[str, str | list[str]] | None = None,
    cache: bool = True,
) -> Faces:
    """Draw n faces of size × size pixels, on all cores.

    seed: face i depends on the seed and on i only, not on n and not on the machine.
    style: the course's own, or any style of the dicebear-styles package by its name ("lorelei");
        those have no attributes and no captions.
    attributes: what to hold fixed, such as {"hair_color": "red", "glasses": ["round", "no"]}; see
        `attribute_values`. A fixed eye colour is still hidden where the eyes are closed.
    cache: keep 128 faces or more in `settings.cache_dir()` and find them there the next time.

    FacesError for an unknown style, attribute or value (it lists the known ones), or an n, seed or
    size out of range.
    """
    if not checks.is_int(n) or n < 1:
        raise FacesError(f"n is the number of faces, 1 or more, not {n!r}")
    if not checks.is_int(seed):
        raise FacesError(f"seed is a whole number, not {seed!r}")
    n, seed, size = int(n), int(seed), checks.size(size)
    job = Job(style, _definition(style), size, _options(style, attributes or {}))
    seeds = [f"{seed}-{i}" for i in range(n)]
    if not cache or n < SMALL:
        return _draw_all(job, seeds)
    kept = _cached(f"{style}-{n}-{_key(job, n, seed)}", lambda: _draw_all(job, seeds))
    return replace(kept, name=style)


@dataclass(frozen=True)
class Job:
    """What a process needs to know to draw; `definition` is the style's JSON text."""

    style: str
    definition: str
    size: int
    options: dict[str, Any]  # DiceBear's options beside the seed


def _draw_all(job: Job, seeds: list[str]) -> Faces:
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    run = map if len(seeds) < SMALL else _in_processes
    drawn = []
    with progress(len(seeds), f"drawing {job.style}") as bar:
        for chunk in run(functools.partial(_draw, job), chunks):
            drawn += chunk
            bar.update(len(chunk))
    images = np.stack([image for image, _ in drawn])
    if job.style != OWN_STYLE:
        return Faces(images, seeds=seeds, name=job.style)
    attributes = [_attributes(choices) for _, choices in drawn]
    said = [
        describe(face, random.Random(f"{seed} caption"))
        for face, seed in zip(attributes, seeds, strict=True)
    ]
    return Faces(images, attributes, [c.en for c in said], [c.zh for c in said], seeds, job.style)


def _draw(job: Job, seeds: list[str]) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """The pictures of some seeds, uint8 (S, S, 3), each with what DiceBear chose for it."""
    import resvg_py
    from dicebear import Avatar

    style = _style(job.definition)
    drawn = []
    for seed in seeds:
        drawing = Avatar(style, {**job.options, "seed": seed}).to_json()
        svg = drawing["svg"]
        no_letters = "<text" not in svg  # then the system's fonts need not be looked for
        png = resvg_py.svg_to_bytes(
            svg, width=job.size, height=job.size, skip_system_fonts=no_letters
        )
        drawn.append((open_square(png, job.size), drawing["options"]))
    return drawn


def _in_processes(function: Callable, items: list) -> Iterator:
    """`map(function, items)` on all cores. resvg holds Python's lock: threads would not help.

    Processes are spawned, never forked: safe beside torch's threads, and the same on Windows.
    """
    number = min(_cores(), len(items), 60)  # Windows waits for at most 61
    done = 0
    if number > 1:
        pool = ProcessPoolExecutor(number, mp_context=get_context("spawn"))
        try:
            with _no_main_module():
                results = pool.map(function, items)
            for result in results:
                yield result
                done += 1
        except (BrokenProcessPool, OSError) as error:
            warnings.warn(f"Drawing in one process, which takes longer: {error}", stacklevel=2)
        finally:
            pool.shutdown(cancel_futures=True)
    yield from map(function, items[done:])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _no_main_module() -> Iterator[None]:
    """A spawned process runs the script of `__main__` again. Ours need not: show it none."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _definition(style: str) -> str:
    """The style's JSON text; FacesError if there is none of that name."""
    if style == OWN_STYLE:
        return (settings.data_dir() / f"{OWN_STYLE}.json").read_text(encoding="utf-8")
    try:
        folder = resources.files("dicebear_styles")
    except ModuleNotFoundError:
        raise FacesError(
            f"The only style here is {OWN_STYLE!r}. For the others: pip install dicebear-styles"
        ) from None
    names = (file.name for file in folder.iterdir())
    known = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
    if style not in known:
        raise checks.unknown("style", style, [OWN_STYLE, *known])
    return folder.joinpath(f"{style}.json").read_text(encoding="utf-8")


@functools.lru_cache(maxsize=8)
def _style(definition: str) -> Any:
    from dicebear import Style

    return Style(json.loads(definition))


def _options(style: str, fixed: dict[str, str | list[str]]) -> dict[str, Any]:
    """DiceBear's options: the ranges of tilt, shift and scale, and what is held fixed."""
    if style != OWN_STYLE:
        if fixed:
            raise FacesError(
                f"Only {OWN_STYLE!r} has attributes that can be fixed, {style!r} has none."
            )
        return {}
    words = vocabulary()
    options = dict(words["options"])
    for name, values in checks.attributes(fixed).items():
        entry = words["attributes"][name]
        keys = [entry["values"][value]["key"] for value in values]
        ((kind, part),) = entry["source"].items()
        if kind == "color":
            options[part + "Color"] = keys
            continue
        if drawn := [key for key in keys if key is not None]:
            options[part + "Variant"] = drawn
        if not drawn or None not in keys:
            options[part + "Probability"] = 100 if drawn else 0
    return options


def _attributes(choices: dict[str, Any]) -> dict[str, str]:
    """DiceBear's {"hairColor": ["#3a3545"], …} in our words: {"hair_color": "black", …}."""
    attributes = {}
    entries = vocabulary()["attributes"]
    for name, entry in entries.items():
        ((kind, part),) = entry["source"].items()
        if kind == "color":
            key = next(iter(choices.get(part + "Color", [])), None)
        else:
            key = choices.get(part + "Variant")
        names = {known["key"]: value for value, known in entry["values"].items()}
        attributes[name] = names.get(key, HIDDEN)
    for name, entry in entries.items():
        hidden_when = entry.get("hidden_when", {}).items()
        if any(attributes[other] in values for other, values in hidden_when):
            attributes[name] = HIDDEN
    return attributes


def _cached(name: str, make: Callable[[], Faces]) -> Faces:
    """What `make` makes, kept in the cache. Of processes that want it at once, one makes it."""
    made = None
    try:
        folder = settings.cache_dir() / "faces"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.parquet"
        if kept := _kept(path):  # needs no lock, which in another user's cache could not be taken
            return kept
        with lock(folder / f"{name}.lock", WAIT):
            if kept := _kept(path):
                return kept
            made = make()
            made.save(path)
    except OSError as error:
        warnings.warn(
            f"{error}. Drawing without the cache; COURSE_CACHE can name another folder.",
            stacklevel=3,
        )
    return made or make()


def _kept(path: Path) -> Faces | None:
    """The faces of a file, which was renamed into place whole; one damaged since is removed."""
    if not path.exists():
        return None
    try:
        return read(path)
    except FacesError:
        warnings.warn(f"{path} was damaged; its faces are drawn again.", stacklevel=4)
        path.unlink(missing_ok=True)
        return None


def _key(job: Job, n: int, seed: int) -> str:
    """Changes with everything that the drawings and captions depend on."""
    packages = [metadata.version(package) for package in PACKAGES]
    asked = {"job": asdict(job), "n": n, "seed": seed}
    return digest(asked | {"words": vocabulary(), "packages": packages, "version": VERSION})[:16]
