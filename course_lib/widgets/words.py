"""Words around pictures: what a still's font can write, and errors that Jupyter would hide."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable

import ipywidgets

from course_lib.widgets import canvas

PLAIN = str.maketrans("–—−“”„‘’×", '---"""\'\'x')  # signs that Pillow's own font lacks


def drawable(words: str) -> str:
    """What `canvas.write` can write of it: accents and other scripts than Latin are left out."""
    plain = unicodedata.normalize("NFKD", words.translate(PLAIN)).encode("ascii", "ignore").decode()
    return " ".join(plain.split()).strip(" ,;:()-")


def broken(words: str, width: float, size: float = 12, most: int = 2) -> list[str]:
    """Words in `most` lines at most, none wider than `width` drawn pixels; … ends what is cut.

    size: of the letters, in shown pixels.
    """

    def fits(line: str) -> bool:
        return canvas._font(size).getlength(line) <= width

    lines: list[str] = []
    for word in words.split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    cut = len(lines) > most
    lines = lines[:most]
    for i, line in enumerate(lines):
        ends = "…" if cut and i == most - 1 else ""
        while line and not fits(line + ends):
            line, ends = line[:-1], "…"
        lines[i] = line + ends
    return lines


def telling(field: ipywidgets.HTML, callback: Callable) -> Callable:
    """The callback, with what goes wrong in it told in `field`; what was told before is wiped."""

    def told(*arguments):
        field.value = ""
        try:
            callback(*arguments)
        except Exception as error:
            field.value = f"<b style='color:var(--course-no)'>{html.escape(str(error))}</b>"

    return told
