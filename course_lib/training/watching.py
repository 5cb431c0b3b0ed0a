"""What is noted of a training while it runs: losses, time, pictures, and where the time goes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.autograd import DeviceType
from tqdm.auto import tqdm

from course_lib.errors import CourseError
from course_lib.pixels import image_grid, to_uint8
from course_lib.training.checkpoints import Checkpoints
from course_lib.training.failures import (
    BadLossError,
    OutOfMemoryError,
    is_out_of_memory,
    what_to_try,
)
from course_lib.training.history import History, Snapshot
from course_lib.training.machine import PARTS_OF_A_STEP, agree, noise_as_it_was

STOPS = ("", "out of time", "interrupted")  # why a training ended before its last step
ASK_EVERY = 5.0  # seconds; `torchrun` kills what has not ended 30 s after Ctrl-C


@dataclass
class Recorder:
    """Collects losses on the device and moves them to the history now and then."""

    history: History
    rates: list[list[float]]
    checkpoints: Checkpoints
    accelerator: Accelerator
    waiting: list[dict[str, Tensor]] = field(default_factory=list)

    def add(self, losses: Mapping[str, Tensor | float]) -> None:
        if not isinstance(losses, Mapping) or not losses:
            raise TypeError(
                'the step must return its losses by name, such as {"loss_G": loss}; '
                f"it returned {type(losses).__name__}"
            )
        known = self.waiting[0] if self.waiting else self.history.losses
        if known and known.keys() != losses.keys():
            raise TypeError(
                f"the step returned {sorted(losses)}, and before {sorted(known)}: return the same "
                "names in each step"
            )
        self.waiting.append({k: torch.as_tensor(v).detach() for k, v in losses.items()})

    def look(self) -> None:
        """Move what is waiting to the history; raise at the first number that is none."""
        if not self.waiting:
            return
        device = self.accelerator.device
        names = list(self.waiting[0])
        rows = [torch.stack([row[k].float().to(device) for k in names]) for row in self.waiting]
        means = self.accelerator.reduce(torch.stack(rows), "mean")  # over the processes
        columns = dict(zip(names, means.T.cpu(), strict=True))
        self.waiting = []
        before = self.history.steps
        for name, column in columns.items():
            bad = (~column.isfinite()).nonzero()
            if len(bad):
                position = int(bad[0])
                raise BadLossError(
                    self._advice(f"{name} became {float(column[position])}", before + position + 1)
                )
        for name, column in columns.items():
            self.history.losses.setdefault(name, []).extend(column.tolist())

    def latest(self) -> dict[str, str]:
        return {k: f"{v[-1]:.2f}" for k, v in self.history.losses.items() if k.startswith("loss")}

    @contextmanager
    def explaining_failures(self) -> Iterator[None]:
        """Say of what goes wrong in a step what is saved, and where."""
        try:
            yield
        except KeyboardInterrupt:
            print(f"Interrupted in the middle of {self._now()}. {self.checkpoints.last_good()}")
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"The memory of the {self.accelerator.device.type} is full in {self._now()}. Try a "
                "batch_size half as large, a smaller width or image size, or faces.stream for data "
                f"that fills the memory. {self.checkpoints.last_good()} ({error})"
            ) from error

    def _now(self) -> str:
        return f"step {self.history.steps + len(self.waiting) + 1}"

    def _advice(self, what: str, step: int) -> str:
        rates = ", ".join(f"{rate:g}" for group in self.rates for rate in group)
        now = f" (now {rates})" if rates else ""
        return f"{what} at step {step}. {what_to_try(now)} {self.checkpoints.last_good()}"


class Timer:
    """The seconds of a training, those before an interruption included, and when it must stop."""

    def __init__(
        self,
        recorder: Recorder,
        steps: int,
        max_minutes: float | None,
        clock: Callable[[], float],
    ):
        self.recorder, self.history = recorder, recorder.history
        self.steps, self.clock = steps, clock
        self.limit = 60 * max_minutes if max_minutes else None
        self.first, self.before = self.history.steps, self.history.seconds
        self.history.threads = torch.get_num_threads()
        self.next_question = self.first + 1  # the step after which processes ask each other
        self.started = clock()

    def seconds(self) -> float:
        return self.before + self.clock() - self.started

    def progress(self, done: int) -> float:
        """How much of the training is over before step `done`, from 0 to 1: of steps or of time."""
        of_time = self.history.seconds / self.limit if self.limit else 0.0
        return min(1.0, max((done - 1) / self.steps, of_time))

    def must_stop(self, done: int, interrupted: bool, look: bool) -> bool:
        """Whether to end after this step; `history` says why, if it is not the last one.

        look: wait for a GPU to finish, so that the time is true, and ask all other processes.
        """
        history, accelerator = self.history, self.recorder.accelerator
        look = look or done == self.steps
        if look:
            self.recorder.look()
        if look or accelerator.num_processes == 1 or done >= self.next_question:
            seconds = self.seconds()
            late = self.limit is not None and seconds > self.limit
            stop, history.seconds = agree(2 if interrupted else int(late), seconds, accelerator)
            a_step = (history.seconds - self.before) / (done - self.first)
            self.next_question = done + 1 + int(ASK_EVERY / max(a_step, 1e-6))
            history.stopped = STOPS[stop] if done < self.steps else ""  # then nothing is missing
        if history.stopped and not look:
            self.recorder.look()
            history.seconds = self.seconds()
        return done == self.steps or bool(history.stopped)


class Reporter:
    """Tells people and programs how far a training is; a context that ends with the last word."""

    def __init__(
        self,
        recorder: Recorder,
        steps: int,
        progress: bool,
        report: Callable[[History], None] | None,
        profiler: torch.profiler.profile | None,
    ):
        self.recorder, self.history, self.steps = recorder, recorder.history, steps
        self.main = recorder.accelerator.is_main_process
        self.report = report if self.main else None
        self.profiler = profiler
        silent = not (progress and recorder.accelerator.is_local_main_process)
        self.bar = tqdm(total=steps, initial=self.history.steps, unit="step", disable=silent)

    def step(self, tell: bool) -> None:
        """After each step; tell: the losses were looked at."""
        if tell:
            self.bar.update(self.history.steps - self.bar.n)
            self.bar.set_postfix(self.recorder.latest(), refresh=False)
            if self.report:
                self.report(self.history)
        if self.profiler:
            self.profiler.step()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, error: type | None, *_more: object) -> None:
        self.bar.close()
        if error is None and self.history.stopped == "interrupted" and self.main:
            folder = self.recorder.checkpoints.folder
            where = f"saved in {folder}" if folder else "not saved, for want of a folder"
            print(f"Stopped after step {self.history.steps} of {self.steps}; {where}.")


@dataclass
class Album:
    """Pictures and measures at the moments that were asked for, into history and checkpoints."""

    history: History
    pictures: Callable[[], Tensor] | None
    watch: Callable[[], Mapping[str, float]] | None
    every: int | Collection[int]
    checkpoints: Checkpoints
    accelerator: Accelerator

    def is_moment(self, done: int) -> bool:
        if isinstance(self.every, int):
            return done % self.every == 0
        return done in self.every

    def take(self, done: int) -> None:
        """In the main process alone, and without a trace in the random numbers."""
        known = self.history.snapshots and self.history.snapshots[-1].step >= done
        if known or not self.accelerator.is_main_process or not (self.pictures or self.watch):
            return
        with torch.no_grad(), noise_as_it_was(self.accelerator):
            images = to_uint8(self.pictures() if self.pictures else torch.zeros(0, 3, 0, 0))
            measures = {name: float(value) for name, value in (self.watch or dict)().items()}
        self.history.snapshots.append(Snapshot(done, images, measures))
        self.checkpoints.save_pictures(self.history.snapshots[-1])


class TensorBoard:
    """Losses, images per second, measures and pictures for TensorBoard; give it to `fit` as report.

    A resumed training tells its whole history again, and what stood there before is purged: what
    had been logged after the checkpoint does not stay as a second curve. Needs the package
    `tensorboard`; CourseError says how to get it.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise CourseError(
                'TensorBoard is not installed: pip install "ai-painting-course[tensorboard]"'
            ) from error
        self.folder, self.make_writer = Path(folder), SummaryWriter
        self.writer: Any = None
        self.losses, self.pictures = 0, 0  # how many are logged
        self.before = (0, 0.0)  # images and seconds

    def __call__(self, history: History) -> None:
        if self.writer is None:
            self.writer = self.make_writer(str(self.folder), purge_step=0)
        for name, values in history.losses.items():
            for step, value in enumerate(values[self.losses :], self.losses + 1):
                self.writer.add_scalar(name, value, step)
        self.losses = history.steps
        images, seconds = history.images - self.before[0], history.seconds - self.before[1]
        if self.before[0] and images > 0 < seconds:
            self.writer.add_scalar("images per second", images / seconds, history.steps)
        self.before = (history.images, history.seconds)
        for snapshot in history.snapshots[self.pictures :]:
            for name, value in snapshot.measures.items():
                self.writer.add_scalar(name, value, snapshot.step)
            if len(snapshot.pictures):
                grid = image_grid(snapshot.pictures, columns=16, gap=0)
                self.writer.add_image("pictures", grid, snapshot.step, dataformats="HWC")
        self.pictures = len(history.snapshots)
        self.writer.flush()


PROFILED = 10  # steps


def step_profiler(
    show: Callable[[str], None] = print, trace: str | Path | None = None, after: int = 5
) -> torch.profiler.profile:
    """A profiler for `fit` that tells once where ten steps' time goes, after some to warm up.

    show: gets the table. trace: also write a JSON file here, for https://ui.perfetto.dev. Use it as
    a context: `with step_profiler() as profiler: fit(…, profiler=profiler)`.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)

    def done(profiler: torch.profiler.profile) -> None:
        show(_where_time_goes(profiler))
        if trace:
            profiler.export_chrome_trace(str(trace))

    return torch.profiler.profile(
        activities=activities,
        schedule=torch.profiler.schedule(wait=after, warmup=2, active=PROFILED, repeat=1),
        on_trace_ready=done,
    )


def _where_time_goes(profiler: torch.profiler.profile) -> str:
    """The parts of a step, and the operators that took most; of a GPU its own time."""
    # With a GPU there are second rows, of what ran on it; the CPU's own know how long that took.
    averages = [row for row in profiler.key_averages() if row.device_type == DeviceType.CPU]
    gpu = torch.cuda.is_available()
    own = "self_device_time_total" if gpu else "self_cpu_time_total"
    whole = sum(row.cpu_time_total for row in averages if row.key.startswith("ProfilerStep"))
    parts = {row.key: row.cpu_time_total for row in averages if row.key in PARTS_OF_A_STEP}
    rest = whole - sum(parts.values())
    lines = [f"{PROFILED} steps took {whole / 1e6:.2f} s", "part of a step       share"]
    for name, microseconds in [*parts.items(), ("looking and saving", rest)]:
        lines.append(f"{name:20} {microseconds / whole:5.1%}")
    operators = [
        row
        for row in averages
        if getattr(row, own) > 0 and not row.is_user_annotation and "#" not in row.key
    ]
    operators.sort(key=lambda row: -getattr(row, own))
    all_of_them = sum(getattr(row, own) for row in operators)
    lines.append(f"\noperator, {'GPU' if gpu else 'CPU'} time of its own          calls  share")
    for row in operators[:10]:
        lines.append(f"{row.key:40} {row.count:6}  {getattr(row, own) / all_of_them:5.1%}")
    return "\n".join(lines)
