"""Locks: one process at a time, and a warning where the drive knows none."""

import errno

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


def test_where_no_file_can_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        files.lock(tmp_path / "file" / ".lock", timeout=0)
