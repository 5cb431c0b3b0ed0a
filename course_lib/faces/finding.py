"""Any data set by its name, as the command line takes it."""

from pathlib import Path

from course_lib.faces import checks, collected, streamed
from course_lib.faces.checks import FacesError
from course_lib.faces.drawing import render
from course_lib.faces.table import Faces, load


def find(source: str | Path, size: int = 64, stream: bool = False) -> Faces | streamed.Streamed:
    """The pictures that a name means, of size × size pixels.

    source: "bundled", to train on; "drawn:20000", so many new drawings; a folder of pictures; a
        .parquet file or a folder of them, which are streamed; or a data set on the Hub.
    stream: read collected pictures from the disk as they are needed, not into memory.

    FacesError when there are none.
    """
    size = checks.size(size)
    path = checks.path(source, f'"bundled"; or "drawn:20000"; or {collected.ANY_OF_THEM}')
    kind, _, number = str(source).partition(":")
    if kind == "drawn":
        if not number.isdecimal():
            raise FacesError(f"{source!r}: give a number of faces, such as drawn:20000")
        return render(int(number), size=size)
    if source == "bundled":
        if size != 64:
            raise FacesError(
                f"the bundled faces have 64 pixels, not {size}. Faces of other sizes are drawn "
                "(drawn:6000); the course's networks take 32, 64 or 128 pixels"
            )
        return load("train")
    if stream or path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))):
        return streamed.stream(path if path.exists() else source, size)
    if path.is_dir() and not any(path.glob("*.zip")):
        return collected.from_folder(path, size)
    if path.exists() and not path.is_dir():
        raise FacesError(f"{path} is neither a folder of pictures nor a .parquet file")
    return collected.from_hub(path if path.is_dir() else source, size)
