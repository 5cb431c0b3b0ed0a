"""Locks: one process at a time, and a warning where the drive knows none."""

import errno
import os
import subprocess
import sys

import pytest
from filelock import FileLock, Timeout

from course_lib import files


def test_a_lock_is_held_until_the_end_of_the_block(tmp_path):
    with files.lock(tmp_path / ".lock"), pytest.raises(Timeout):
        files.lock(tmp_path / ".lock", timeout=0)
    with files.lock(tmp_path / ".lock", timeout=0):
        pass


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("FileSystem does not appear to support flock"),  # filelock 3.13
        OSError(errno.ENOSYS, "Function not implemented"),
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.EOPNOTSUPP, "Operation not supported"),
    ],
    ids=lambda error: type(error).__name__ + str(error.args[0]),
)
def test_a_drive_that_knows_no_locks(monkeypatch, tmp_path, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="knows no locks") as told, files.lock(tmp_path / ".lock"):
        pass
    assert told[0].filename == __file__


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_new_files_have_the_rights_that_the_user_gives_new_files(tmp_path):
    """Asked in a process of its own: the mask is the process's."""
    write = (
        "import os, sys; os.umask(0o027); from pathlib import Path; from course_lib import files\n"
        "with files.atomic(Path(sys.argv[1])) as new: new.touch(0o600)"
    )
    subprocess.run([sys.executable, "-c", write, tmp_path / "new"], check=True)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_drive_without_rights_is_written_to(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(type(tmp_path), "chmod", refuse)
    with files.atomic(tmp_path / "new") as new:
        new.write_text("whole")
    assert (tmp_path / "new").read_text() == "whole"


def test_where_no_file_can_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        files.lock(tmp_path / "file" / ".lock", timeout=0)
