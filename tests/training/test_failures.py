"""Each fault is provoked, and its message says what is saved, where, and what to do."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
import torch
from small import Small

from course_lib import training
from course_lib.training import loop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and signals")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MiB, one that may be made read-only: needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a small disk; the limit on file sizes is tested")
    yield place
    subprocess.run(["umount", place], check=True)


def only_saved(folder: Path, steps: list[int]) -> bool:
    """Whole checkpoints at these steps, and nothing half written."""
    unfinished = list(folder.rglob(".step-*"))
    return training.Checkpoints(folder).steps() == steps and not unfinished


def test_full_disk(few_faces, disk):
    small = Small()
    small.fit(few_faces, 2, folder=disk / "run")
    size = sum(path.stat().st_size for path in (disk / "run").glob("step-*"))
    left = shutil.disk_usage(disk).free
    assert size < left
    (disk / "something else").write_bytes(bytes(left - size // 2))

    message = (
        r"step-00000004 could not be written to .*the disk is full\. The networks in memory are "
        r"as they are after step 4\. The last good checkpoint is step-00000002 in .*Make room first"
    )
    with pytest.raises(training.CheckpointError, match=message):
        Small().fit(few_faces, 6, folder=disk / "run", save_every=2)
    assert only_saved(disk / "run", [2])
    (disk / "something else").unlink()
    assert Small().fit(few_faces, 6, folder=disk / "run").losses == Small().fit(few_faces, 6).losses


def test_a_file_may_not_grow_so_large(few_faces, tmp_path):
    """The same by another way, which needs no rights: a limit on the size of a file."""
    import resource  # Windows has none

    Small().fit(few_faces, 2, folder=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(training.CheckpointError) as raised:
            Small().fit(few_faces, 4, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.strerror(errno.EFBIG) in str(raised.value)
    assert "step-00000004 could not be written" in str(raised.value)
    assert "last good checkpoint is step-00000002" in str(raised.value)
    assert only_saved(tmp_path, [2])


def test_read_only_folder_is_found_before_anything_is_trained(few_faces, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    message = r"nothing can be written to .* \(Read-only file system\), so nothing was trained"
    with pytest.raises(training.CheckpointError, match=message):
        Small().fit(few_faces, 2, folder=disk, step=lambda _: pytest.fail("trained"))


def test_a_file_is_no_folder(few_faces, tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(training.CheckpointError, match=r"nothing can be written to .*so nothing"):
        Small().fit(few_faces, 2, folder=tmp_path / "run")


def test_two_trainings_do_not_share_a_folder(few_faces, tmp_path):
    checkpoints = training.Checkpoints(tmp_path)
    with (
        checkpoints.in_use(),
        pytest.raises(training.CheckpointError, match="another training is writing to"),
    ):
        Small().fit(few_faces, 2, folder=tmp_path)
    assert Small().fit(few_faces, 2, folder=tmp_path).steps == 2


def test_out_of_memory(few_faces, tmp_path):
    small = Small()

    def step(batch):
        losses = small.step(batch)
        if small.average.updates == 4:
            torch.empty(2**50)  # four petabytes
        return losses

    message = (
        r"The memory of the cpu is full in step 5\. Try a batch_size half as large.*"
        r"The last good checkpoint is step-00000004 in"
    )
    with pytest.raises(training.OutOfMemoryError, match=message):
        small.fit(few_faces, 9, step=step, folder=tmp_path, save_every=2)
    assert only_saved(tmp_path, [2, 4])


def test_another_error_in_a_step_is_not_called_out_of_memory(few_faces):
    def step(batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        Small().fit(few_faces, 1, step=step)
    assert not isinstance(raised.value, training.TrainingError)


def test_second_ctrl_c_interrupts_at_once_and_says_what_is_saved(
    few_faces,
    tmp_path,
    capsys,
    monkeypatch,
):
    monkeypatch.setattr(loop, "AT_ONCE", 0.0)
    small = Small()

    def step(batch):
        if small.average.updates == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return small.step(batch)

    with pytest.raises(KeyboardInterrupt):
        small.fit(few_faces, 9, step=step, folder=tmp_path, save_every=2)
    said = capsys.readouterr().out
    assert "Interrupted in the middle of step 5. The last good checkpoint is step-00000004" in said


def test_one_ctrl_c_that_arrives_twice_is_one(few_faces):
    small = Small()

    def step(batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # as torchrun passes it on
        return small.step(batch)

    assert small.fit(few_faces, 9, step=step).stopped == "interrupted"


def test_a_drive_without_locks_is_used_with_a_warning(few_faces, tmp_path, monkeypatch):
    def no_locks(*_words, **_options):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    with pytest.warns(UserWarning, match="knows no locks"):
        Small().fit(few_faces, 2, folder=tmp_path)
    assert training.Checkpoints(tmp_path).steps() == [2]
