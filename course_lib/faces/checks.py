"""What is asked of the faces is looked at here first: errors that say what is known, what to do."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.captions import vocabulary
from course_lib.errors import CourseError


class FacesError(CourseError):
    """Something is wrong with the request or the files; the message says what to do."""


def attribute_values() -> dict[str, list[str]]:
    """Every attribute of the course's own faces with its possible values; "no" is: not drawn."""
    return {name: list(entry["values"]) for name, entry in vocabulary()["attributes"].items()}


def attributes(wanted: dict[str, Any], also: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Each attribute with a list of values, all of them known."""
    known = attribute_values()
    checked = {}
    for name, values in wanted.items():
        if name not in known:
            raise unknown("attribute", name, known)
        checked[name] = [values] if isinstance(values, str) else list(values)
        if not checked[name]:
            raise FacesError(f"{name} needs a value; known: {', '.join(known[name])}")
        for value in checked[name]:
            if value not in (*known[name], *also):
                raise unknown(name, value, known[name])
    return checked


def size(pixels: int) -> int:
    """The pixels of a side."""
    if not is_int(pixels) or not 8 <= pixels <= 1024:
        raise FacesError(f"size is a whole number of pixels from 8 to 1024, not {pixels!r}")
    return int(pixels)


def path(source: str | Path, wanted: str) -> Path:
    """Where the source would lie; an empty name is none, though Path takes it for this folder."""
    if not str(source).strip():
        raise FacesError(f"The name is empty. Give {wanted}.")
    return Path(source).expanduser()


def is_int(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def unknown(what: str, given: Any, known: Iterable[str]) -> FacesError:
    close = difflib.get_close_matches(str(given), list(known), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return FacesError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def damaged(file: Path, error: Exception) -> FacesError:
    return FacesError(
        f"{file} is damaged ({type(error).__name__}). Delete it and fetch or make it again."
    )


def nowhere(folder: Path) -> FacesError:
    return FacesError(f"There is no folder {folder}. This notebook works in {Path.cwd()}.")


def no_attributes(name: str) -> FacesError:
    return FacesError(f"{name}: only drawings of the course's own style have attributes")
