"""Files that are whole or not there: written under another name, flushed, then renamed."""

import errno
import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; renamed to it when all is written, removed when not."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        with suppress(OSError):  # of a drive that knows no such rights
            temporary.chmod(_usual_rights())  # safetensors' files are for their owner alone
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        with suppress(OSError):  # of a disk that is gone: the first error is the one to tell
            temporary.unlink(missing_ok=True)


def lock(path: Path, timeout: float = -1) -> AbstractContextManager:
    """Take a lock among processes, now, and give it back at the end of the `with` block.

    timeout: the seconds to wait while another process has it, then filelock.Timeout; -1: no end.

    OSError where no file can be written. Some network drives know no locks: then a warning says so,
    and nothing is taken.
    """
    try:
        return FileLock(path).acquire(timeout)
    except (OSError, NotImplementedError) as error:  # filelock 3.13 knows ENOSYS by the second
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
    warnings.warn(
        f"the drive of {path} knows no locks: see to it yourself that no other process writes "
        "there at the same time",
        stacklevel=2,
    )
    return nullcontext()


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(about: Mapping[str, Any]) -> str:
    """The SHA-256 of what a JSON file is to say, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


@cache
def _usual_rights() -> int:
    """Of a new file; the only way to ask for the mask is to set one."""
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


def _flush(path: Path) -> None:
    """Wait until the disk has it: a new name, too, can be lost with the power."""
    if path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return
    with suppress(OSError):  # Windows cannot open a folder, and some network drives not flush one
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
