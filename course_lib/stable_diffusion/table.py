"""The checkpoints that the course knows: what they are, where they lie, how they are best asked."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib import settings
from course_lib.stable_diffusion import troubles
from course_lib.stable_diffusion.troubles import PaintingError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a trained Stable Diffusion, and how it is best asked.

    download: GB to fetch. memory: GB of a GPU for one picture in 16 bits, weights and `WORKING`
    together. side: pixels of a picture's side. steps, guidance: what its makers advise. prefix:
    begins every prompt. checker: whether a safety checker looks at its pictures. seen: year and
    month when its page was last found there; the Hub's models can be renamed or withdrawn.
    """

    name: str
    id: str
    about: str = "not in the course's table"
    licence: str = "see its page"
    languages: str = "see its page"
    download: float = 0.0
    memory: float = 0.0
    side: int = 512
    steps: int = 25
    guidance: float = 7.5
    revision: str | None = None
    prefix: str = ""
    checker: bool = False
    gated: bool = False
    seen: str = ""
    note: str = ""
    folder: Path | None = None


class Checkpoints(dict[str, Checkpoint]):
    """Checkpoints by name; a notebook shows them as a table."""

    COLUMNS = ("name", "what it is", "prompts", "fetch", "GPU", "picture", "licence", "last seen")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                one.name,
                f"{one.about}; {one.note}" if one.note else one.about,
                one.languages,
                f"{one.download:.1f} GB" if one.download else "–",
                f"{one.memory:.1f} GB",
                f"{one.side} px, {one.steps} {'step' if one.steps == 1 else 'steps'}",
                one.licence,
                one.seen or "here",
            )
            for one in self.values()
        ]

    def _repr_markdown_(self) -> str:
        lines = [self.COLUMNS, ("---",) * len(self.COLUMNS), *self._rows()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def __repr__(self) -> str:
        brief = [row[:1] + row[2:] for row in (self.COLUMNS, *self._rows())]
        widths = [max(map(len, column)) for column in zip(*brief, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in brief
        )


# Sizes: of the files in the listings that were seen; what is computed from a network's shape or was
# not checked says so in its note.
CHECKPOINTS = Checkpoints(
    {
        one.name: one
        for one in (
            Checkpoint(
                name="course",
                id="faces-diffusion",
                about="the course's own painter of lesson 5: anime faces of 64 pixels",
                licence="Apache-2.0",
                languages="English, Chinese",
                memory=0.1,
                side=64,
                steps=10,
                guidance=2.0,
                note="it has no safety checker: it has only ever seen the course's drawings",
            ),
            Checkpoint(
                name="sd15",
                id="stable-diffusion-v1-5/stable-diffusion-v1-5",
                about="Stable Diffusion v1.5, a mirror of what RunwayML withdrew in 2024",
                licence="CreativeML OpenRAIL-M",
                languages="English",
                download=2.7,
                memory=3.7,
                checker=True,
                seen="2026-05",
                note="files and sizes are from the original's listing, the mirror's not checked",
            ),
            Checkpoint(
                name="turbo",
                id="stabilityai/sd-turbo",
                about="SD-Turbo: Stable Diffusion 2.1, taught to paint in a single step",
                licence="Stability AI's own; before any commercial use see stability.ai/license",
                languages="English",
                download=2.6,
                memory=3.6,
                steps=1,
                guidance=0.0,
                seen="2026-05",
                note="no safety checker; negative prompts have no effect",
            ),
            Checkpoint(
                name="skypaint",
                id="SkyworkAIGC/SkyPaint",
                about="SkyPaint: Stable Diffusion v1.5 with a bilingual text encoder",
                licence="CreativeML OpenRAIL-M",
                languages="English, Chinese",
                download=5.7,
                memory=3.8,
                revision="refs/pr/5",
                prefix="sai-v1 art, ",
                checker=True,
                seen="2024-12",
                note="safetensors are only in the Hub's own conversion, pull request 5; "
                "the text encoder's size is computed",
            ),
            Checkpoint(
                name="taiyi",
                id="IDEA-CCNL/Taiyi-Stable-Diffusion-1B-Chinese-v0.1",
                about="Taiyi: Stable Diffusion with a Chinese text encoder",
                licence="CreativeML OpenRAIL-M",
                languages="Chinese",
                download=5.4,
                memory=3.7,
                revision="refs/pr/37",
                checker=True,
                seen="2025-03",
                note="safetensors were seen in the Hub's own conversion, pull request 37",
            ),
        )
    }
)


def find(name: str | Path | None = None) -> Checkpoint:
    """A checkpoint by its name in `CHECKPOINTS`, its id on the Hub, or its folder.

    None: what `settings.checkpoint` says. PaintingError when it is none of these. Whether there is
    such an id on the Hub shows when it is loaded.
    """
    name = settings.checkpoint() if name is None else name
    if not isinstance(name, str | Path):
        raise troubles.unknown(name, CHECKPOINTS)
    if isinstance(name, str):
        if name in CHECKPOINTS:
            return CHECKPOINTS[name]
        for one in CHECKPOINTS.values():
            if name == one.id and one.name != "course":
                return one
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Checkpoint(folder.name, str(name), folder=folder.resolve())
    if isinstance(name, str) and HUB_ID.fullmatch(name) and not name.startswith("."):
        return Checkpoint(name, name)
    error = troubles.unknown(name, CHECKPOINTS)
    if close := difflib.get_close_matches(str(name), CHECKPOINTS, 1):
        raise PaintingError(f"{error} Did you mean {close[0]!r}?")
    raise error
