"""The training loop that all lessons share: `fit` calls your `step` on batch after batch."""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.profiler import record_function

from course_lib.training.batches import Batches, Data
from course_lib.training.checkpoints import Checkpoints
from course_lib.training.history import History
from course_lib.training.machine import PARTS_OF_A_STEP, derive, make_accelerator
from course_lib.training.parts import Part, Parts
from course_lib.training.watching import Album, Recorder, Reporter, Timer

Step = Callable[[Any], Mapping[str, Tensor | float]]

AT_ONCE = 1.0  # seconds


def fit(
    step: Step,
    data: Data,
    *,
    steps: int,
    batch_size: int = 64,
    seed: int = 0,
    flip: bool = False,
    keep: Mapping[str, Part] | None = None,
    recipe: Mapping[str, Any] | None = None,
    schedule: Callable[[float], float] | None = None,
    pictures: Callable[[], Tensor] | None = None,
    pictures_every: int | Collection[int] = 500,
    watch: Callable[[], Mapping[str, float]] | None = None,
    folder: str | Path | None = None,
    save_every: int = 500,
    max_minutes: float | None = None,
    look_every: int = 50,
    report: Callable[[History], None] | None = None,
    profiler: torch.profiler.profile | None = None,
    progress: bool = True,
    workers: int = 0,
    accelerator: Accelerator | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> History:
    """Call `step(batch)` for `steps` batches of `data`, and return the history.

    step: takes what `data.tensor` returns, on the accelerator's device (images (B, 3, S, S) in
        [-1, 1], or a tuple that begins with them), changes its networks, returns its losses by
        name, in each step the same names, as tensors that are still on the device: they are looked
        at together every `look_every` steps, because asking a GPU for a number makes it wait.
    steps: how many in all; a resumed training does the rest of them.
    batch_size: images of one step in each process.
    flip: mirror each image with probability ½.
    keep: all that the training changes, by name: networks, optimisers, EMAs, generators of random
        numbers. EMAs are updated after each step; the schedule turns these optimisers' learning
        rates; checkpoints hold it all.
    recipe: what else the training depends on, such as the name of its loss: it does not go on from
        a checkpoint with another one.
    schedule: progress from 0 to 1 → what to multiply the learning rates by, e.g. `linear_decay()`.
        Without one the rates are `step`'s own business.
    pictures: makes images (n, 3, S, S) of always the same noise; called at step 0, every
        `pictures_every` steps (or at these steps) and at the end. watch: other numbers to note at
        the same moments, with pictures or without. Both are called in the main process alone, so
        they must use the networks as they were before `accelerator.prepare`; pass them in all.
    folder: save a checkpoint here every `save_every` steps and at the end, and go on from the one
        that is there. Equal settings give an equal training, interrupted or not, as far as the
        device's own sums come out equal: the order of the images follows from `seed` and the epoch,
        and the state of torch's random numbers is saved. All processes must see the same folder.
    max_minutes: stop after so long, counting the time before an interruption.
    report: called with the history whenever something is new in it, e.g. `TensorBoard(folder)`.
    profiler: told of each step, e.g. `step_profiler()`.
    workers: processes that read images ahead, for data that is read from a disk (`faces.stream`).
    clock: the seconds that count. `time.process_time` counts those of the processor, so that a
        comparison of trainings on a CPU, with one thread each, depends little on who else uses it.

    Ctrl-C (the notebook's ■) ends the training after the step it is in, saved and with its history;
    several processes ask each other whether to stop every five seconds or so.
    Raises TrainingError: BadLossError when a loss is NaN or infinite, OutOfMemoryError, and
    CheckpointError when `folder` holds something else or cannot be written to. Raises CourseError
    when there are too few images.
    """
    accelerator = accelerator or make_accelerator()
    batches = Batches(data, batch_size, accelerator, seed=seed, flip=flip, workers=workers)
    parts = Parts(keep, accelerator, schedule)
    setup = batches.setup(with_data=bool(folder))
    setup |= {f"recipe.{name}": value for name, value in (recipe or {}).items()}
    checkpoints = Checkpoints(folder, parts.by_name, setup, accelerator)
    torch.manual_seed(derive(seed, "noise", accelerator.process_index))
    with checkpoints.in_use(), parts.at_work():
        history = checkpoints.load() or History(batches.together)
        album = Album(history, pictures, watch, pictures_every, checkpoints, accelerator)
        album.take(history.steps)
        recorder = Recorder(history, parts.rates, checkpoints, accelerator)
        timer = Timer(recorder, steps, max_minutes, clock)
        reporter = Reporter(recorder, steps, progress, report, profiler)
        ahead = zip(range(history.steps + 1, steps + 1), batches.after(history.steps), strict=False)
        with reporter, interrupts() as interrupted, recorder.explaining_failures():
            for done, batch in ahead:
                parts.turn_rates(timer.progress(done))
                with record_function(PARTS_OF_A_STEP[1]):
                    losses = step(batch)
                parts.update_averages()
                recorder.add(losses)

                look = done % look_every == 0
                last = timer.must_stop(done, interrupted(), look)
                if last or album.is_moment(done):
                    recorder.look()
                    album.take(done)
                if last or done % save_every == 0:
                    recorder.look()
                    checkpoints.save(history)
                reporter.step(look or last)
                if last:
                    break
    return history


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question to ask after the step; a second one interrupts.

    Not every version of `torchrun` gives its processes a session of their own: then it passes on to
    them what the terminal has sent them already. What comes at once is the same Ctrl-C.
    """
    asked = 0.0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(_signal: int, _frame: Any) -> None:
        nonlocal asked
        now = time.monotonic()
        if asked and now - asked > AT_ONCE:
            raise KeyboardInterrupt
        asked = asked or now

    usual = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, usual)
