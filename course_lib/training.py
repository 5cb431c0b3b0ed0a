"""The training loop that lessons 3, 4 and 5 share: `fit` calls your `step` on batch after batch.

What is learnt, and by which loss, is written in the lesson's own step (see `dcgan.tutorial_step`).
What every training needs around it is here, once: the order of the batches, flips, a progress bar,
the history, pictures along the way, an average of the weights, checkpoints, and going on from one.

It is the same loop in one process or in many (`torchrun`, `accelerate launch`). Each process has
its own part of every batch and its own random numbers; gradients are averaged while they are
computed (`accelerator.prepare` sees to that); the losses in the history are means over all. The
averages of the weights, the pictures and the files are the main process's affair.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from math import gcd
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import send_to_device
from filelock import FileLock, Timeout
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import record_function
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm.auto import tqdm

from course_lib import settings

CHECKPOINT_FORMAT = 2
CHECKPOINTS_KEPT = 2  # the newest, and one to fall back on
PARTS_OF_A_STEP = ("getting the batch", "the step", "averaging")  # as the profiler names them
STOPS = ("", "out of time", "interrupted")  # why a training ended before its last step
ASK_EVERY = 5.0  # seconds; `torchrun` kills what has not ended 30 s after Ctrl-C


class TrainingError(RuntimeError):
    """A training cannot go on; the message says what is saved, where, and what to do."""


class BadLossError(TrainingError):
    """A loss or a weight became NaN or infinite."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be used, or not be written."""


class OutOfMemoryError(TrainingError):
    """The memory, of the machine or of the GPU, is too small for this step."""


class Data(Protocol):
    """What `fit` needs of a data set; `faces.Faces` is one, and `faces.stream` returns one.

    tensor: the images (B, 3, S, S) in [-1, 1] of these indices, or a tuple of them and of what goes
    with them, such as the tokens of their captions: tensors whose first dimension is B.
    """

    def __len__(self) -> int: ...

    def tensor(self, indices: Any) -> Any: ...


Step = Callable[[Any], Mapping[str, Tensor | float]]


# What a training leaves behind


@dataclass
class Snapshot:
    """Pictures from the same noise at one moment of a training."""

    step: int
    pictures: np.ndarray  # uint8 (n, S, S, 3)
    measures: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """What happened: `losses` has every name the step returned, one number a step."""

    batch_size: int
    losses: dict[str, list[float]] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""  # "", "interrupted" or "out of time"

    @property
    def steps(self) -> int:
        return max((len(values) for values in self.losses.values()), default=0)

    @property
    def images(self) -> int:
        return self.steps * self.batch_size

    def mean(self, name: str, last: int = 50) -> float:
        """The mean of the last values of one loss: single batches jump about."""
        return float(np.mean(self.losses[name][-last:]))

    def curve(self, name: str, points: int = 200) -> list[float]:
        """One loss as at most so many means over steps that follow each other."""
        parts = np.array_split(self.losses[name], points)
        return [round(float(part.mean()), 3) for part in parts if len(part)]


# The average of the weights


class EMA:
    """A slow copy of a network: average ← decay · average + (1 − decay) · weights, at every step.

    The last few hundred steps' weights, averaged, paint steadier pictures than the last step's
    alone (Yazıcı et al. 2018, arXiv 1806.04498). `decay` starts low and rises to its value, so that
    the noise of the first steps is soon forgotten. BatchNorm's running averages are averaged too;
    its integer counter is copied. (`torch.optim.swa_utils.AveragedModel` would do without the
    warm-up; with it, it is longer than this.)
    """

    def __init__(self, network: nn.Module, decay: float = 0.998):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; choose 0 ≤ decay < 1, such as 0.998")
        self.source = network
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = self.source.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(now[name], 1 - decay)
            else:
                average.copy_(now[name])
        self.updates += 1


@torch.no_grad()
def refresh_batchnorm(network: nn.Module, inputs: Iterator[Tensor]) -> None:
    """Measure BatchNorm's means and variances anew for the weights as they are, over `inputs`.

    Averaged weights want the statistics of *their* activations, not an average of other weights'.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    was_training = network.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's way to ask for the plain mean over all batches
    network.train()
    for batch in inputs:
        network(batch)
    network.train(was_training)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


# Where and how precisely


def make_accelerator(precision: str | None = None) -> Accelerator:
    """One process or many, CPU or GPU, half or full precision: `accelerate` knows which it is.

    precision: "no" (32 bits), "bf16", "fp16", or "auto": `fast_precision()`. None follows
    `accelerate launch`, else 32 bits. The device is `settings.device()`, with several GPUs each
    process's own. ValueError when this machine has fewer GPUs than processes, or when
    `accelerate config` was told to cut the networks into pieces.
    """
    if precision not in (None, "auto", "no", "bf16", "fp16"):
        raise ValueError(
            f'precision {precision!r} is unknown; choose "auto", "no", "bf16" or "fp16"'
        )
    if precision == "auto":
        precision = fast_precision()
    wanted = settings.device()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if wanted.type == "cuda" and here > torch.cuda.device_count():
        raise ValueError(
            f"{here} processes and {torch.cuda.device_count()} GPU on this machine: start one "
            "process a GPU, or set COURSE_DEVICE=cpu"
        )
    if wanted.type == "cuda" and wanted.index is not None and here == 1:
        torch.cuda.set_device(wanted)  # accelerate takes the current one
    for engine in ("DEEPSPEED", "FSDP", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() in ("1", "true"):
            raise ValueError(
                f"{engine} cuts the networks into pieces, which the course's checkpoints do not "
                "know. Its networks fit on one GPU: run `accelerate config` again and say no to it"
            )
    if AcceleratorState._shared_state:  # a second training in the same notebook may choose anew
        AcceleratorState._reset_state()
    return Accelerator(mixed_precision=precision, cpu=wanted.type == "cpu")


def fast_precision() -> str:
    """The `precision` for this device: "bf16" where it multiplies such floats itself, else "no".

    A CPU that has to imitate bf16 is many times slower with it. Those that need not: Intel's with
    AMX and both makers' with AVX-512 BF16, such as AMD's since Zen 4. Weights, averages and Adam
    stay in 32 bits either way.
    """
    if settings.device().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    able = getattr(torch.cpu, "get_capabilities", dict)()  # not in older PyTorch: then 32 bits
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "no"


# The loop


def fit(
    step: Step,
    data: Data,
    *,
    steps: int,
    batch_size: int = 64,
    seed: int = 0,
    flip: bool = False,
    keep: Mapping[str, nn.Module | torch.optim.Optimizer | EMA | torch.Generator] | None = None,
    pictures: Callable[[], Tensor] | None = None,
    pictures_every: int | Collection[int] = 500,
    watch: Callable[[], Mapping[str, float]] | None = None,
    schedule: Callable[[float], float] | None = None,
    folder: str | Path | None = None,
    save_every: int = 500,
    max_minutes: float | None = None,
    accelerator: Accelerator | None = None,
    workers: int = 0,
    report: Callable[[History], None] | None = None,
    profiler: torch.profiler.profile | None = None,
    progress: bool = True,
    look_every: int = 50,
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
    pictures: makes images (n, 3, S, S) of always the same noise; called at step 0, every
        `pictures_every` steps (or at these steps) and at the end. watch: other numbers to note at
        the same moments, with pictures or without. Both are called in the main process alone, so
        they must use the networks as they were before `accelerator.prepare`; pass them in all.
    schedule: progress from 0 to 1 → what to multiply the learning rates by, e.g. `linear_decay()`.
    folder: save a checkpoint here every `save_every` steps and at the end, and go on from the one
        that is there. Equal settings give an equal training, interrupted or not, as far as the
        device's own sums come out equal: the order of the images follows from `seed` and the epoch,
        and the state of torch's random numbers is saved. All processes must see the same folder.
    max_minutes: stop after so long, counting the time before an interruption.
    workers: processes that read images ahead, for data that is read from a disk (`faces.stream`).
    report: called with the history whenever something is new in it, e.g. `TensorBoard(folder)`.
    profiler: told of each step, e.g. `step_profiler()`.
    clock: the seconds that count. `time.process_time` counts those of the processor, so that a
        comparison of trainings on a CPU, with one thread each, depends little on who else uses it.

    Ctrl-C (the notebook's ■) ends the training after the step it is in, saved and with its history;
    several processes ask each other whether to stop every five seconds or so.
    Raises TrainingError: BadLossError when a loss is NaN or infinite, OutOfMemoryError, and
    CheckpointError when `folder` holds something else or cannot be written to. Raises ValueError
    when there are too few images.
    """
    accelerator = accelerator or make_accelerator()
    together = _images_a_step(batch_size, len(data), accelerator)
    alone, main = accelerator.num_processes == 1, accelerator.is_main_process
    keep = dict(keep or {})
    if accelerator.scaler:  # of fp16
        keep["scaler"] = accelerator.scaler
    for part in keep.values():
        _state_of(part)  # raises now, not at the first checkpoint, when it knows no such part
    averages = [part for part in keep.values() if isinstance(part, EMA)]
    optimisers = [part for part in keep.values() if _is_optimiser(part)]
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    setup = {"seed": seed, "batch_size": together, "images": len(data), "flip": flip}

    torch.manual_seed(seed + accelerator.process_index)
    history = History(batch_size=together)
    checkpoints = Checkpoints(folder, keep, setup, accelerator) if folder else None
    with checkpoints.in_use() if checkpoints else nullcontext():
        if checkpoints and (found := checkpoints.load()):
            history = found
        first, before = history.steps, history.seconds
        next_question = first + 1  # the step after which processes ask each other
        recorder = _Recorder(history, rates, checkpoints, accelerator)
        batches = _batches(data, together, seed, flip, first, accelerator, workers)

        def is_moment(done: int) -> bool:
            if isinstance(pictures_every, int):
                return done % pictures_every == 0
            return done in pictures_every

        def note_pictures(done: int) -> None:
            known = history.snapshots and history.snapshots[-1].step >= done
            if known or not main or not (pictures or watch):
                return
            with torch.no_grad(), _noise_as_it_was(accelerator.device):
                images = _to_uint8(pictures() if pictures else torch.zeros(0, 3, 0, 0))
                measures = {name: float(value) for name, value in (watch or dict)().items()}
            history.snapshots.append(Snapshot(done, images, measures))
            if checkpoints:
                checkpoints.save_pictures(history.snapshots[-1])

        def progressed(done: int) -> float:
            of_time = history.seconds / (60 * max_minutes) if max_minutes else 0.0
            return min(1.0, max((done - 1) / steps, of_time))

        note_pictures(first)
        started = clock()
        silent = not (progress and accelerator.is_local_main_process)
        bar = tqdm(total=steps, initial=first, unit="step", disable=silent, leave=True)
        try:
            with _interrupts() as interrupted, recorder.explaining_failures():
                for done in range(first + 1, steps + 1):
                    if schedule:
                        _set_rates(optimisers, rates, schedule(progressed(done)))
                    with record_function(PARTS_OF_A_STEP[0]):
                        batch = next(batches)
                    with record_function(PARTS_OF_A_STEP[1]):
                        recorder.add(step(batch))
                    with record_function(PARTS_OF_A_STEP[2]):
                        for average in averages if main else ():
                            average.update()

                    look = done == steps or done % look_every == 0
                    if look:
                        recorder.look()  # waits for a GPU to finish, so that the time is true
                    if look or alone or done >= next_question:
                        seconds = before + clock() - started
                        late = bool(max_minutes and seconds > 60 * max_minutes and done < steps)
                        stop = 2 if interrupted() else int(late)
                        stop, history.seconds = _agree(stop, seconds, accelerator)
                        a_step = (history.seconds - before) / (done - first)
                        next_question = done + 1 + int(ASK_EVERY / max(a_step, 1e-6))
                        history.stopped = STOPS[stop]
                    last = done == steps or bool(history.stopped)

                    if look or last:
                        recorder.look()
                        if not look:
                            history.seconds = before + clock() - started
                        bar.update(done - bar.n)
                        bar.set_postfix(recorder.latest(), refresh=False)
                    if (pictures or watch) and (last or is_moment(done)):
                        recorder.look()
                        note_pictures(done)
                    if report and main and (look or last):
                        report(history)
                    if checkpoints and (last or done % save_every == 0):
                        recorder.look()
                        checkpoints.save(history)
                    if profiler:
                        profiler.step()
                    if last:
                        break
        finally:
            bar.close()
            _set_rates(optimisers, rates, 1.0)
        _share(averages, accelerator)
    if history.stopped == "interrupted" and main:
        where = f"saved in {folder}" if folder else "not saved, for want of a folder"
        print(f"Stopped after step {history.steps} of {steps}; {where}.")
    return history


def _images_a_step(batch_size: int, images: int, accelerator: Accelerator) -> int:
    """How many images all processes take in one step. ValueError if that is more than there are."""
    if images == 0:
        raise ValueError("there are no images to train on: check the folder or the selection")
    together = batch_size * accelerator.num_processes
    if together > images:
        raise ValueError(
            f"a batch of {together} is more than the {images} images there are; "
            f"choose batch_size ≤ {images // accelerator.num_processes} (in a recipe: "
            "dataclasses.replace(recipe, batch_size=…)) or load more images"
        )
    return together


def _agree(stop: int, seconds: float, accelerator: Accelerator) -> tuple[int, float]:
    """The gravest reason to stop that any process has, and the main process's time.

    All must stop after the same step, and turn their learning rates by the same clock: otherwise
    one would wait for the others' gradients for ever, or their weights would drift apart.
    """
    if accelerator.num_processes == 1:
        return stop, seconds
    mine = torch.tensor([[float(stop), seconds]], device=accelerator.device)
    everyone = accelerator.gather(mine)
    return int(everyone[:, 0].max()), float(everyone[0, 1])


def _share(averages: list[EMA], accelerator: Accelerator) -> None:
    """Give all processes the averages, which the main process alone has kept."""
    if accelerator.num_processes == 1:
        return
    for average in averages:
        for value in average.network.state_dict().values():
            sent = value.contiguous()
            torch.distributed.broadcast(sent, src=0)
            value.copy_(sent)


def linear_decay(start: float = 0.5, end: float = 0.0) -> Callable[[float], float]:
    """A schedule: 1 until the part `start` of the training, then a straight line down to `end`."""
    if not 0 <= start < 1:
        raise ValueError(f"start is {start}; choose 0 ≤ start < 1, a part of the training")

    def factor(progress: float) -> float:
        return 1.0 if progress < start else end + (1 - end) * (1 - progress) / (1 - start)

    return factor


def _batches(
    data: Data,
    together: int,
    seed: int,
    flip: bool,
    first: int,
    accelerator: Accelerator,
    workers: int,
) -> Iterator[Any]:
    """This process's part of each batch, without end, from step `first` on."""
    order = _Order(len(data), together, seed, first, accelerator)
    loader = DataLoader(
        _Fetching(data),
        sampler=order,
        batch_size=None,  # the order says which images are a batch
        num_workers=workers,
        pin_memory=workers > 0 and accelerator.device.type == "cuda",  # the workers' own thread
        worker_init_fn=_leave_signals_to_main,
        generator=torch.Generator(),  # else it would take from torch's own random numbers
    )
    for batch, mirrored in loader:
        images, *more = [batch] if isinstance(batch, Tensor) else batch
        images, more = send_to_device((images, more), accelerator.device, non_blocking=True)
        if flip:
            chosen = mirrored.view(-1, 1, 1, 1).to(images.device)
            images = torch.where(chosen, images.flip(-1), images)
        yield (images, *more) if more else images


class _Order(Sampler):
    """Which images are in each batch, and which of them to mirror: (B,) and (B,), without end.

    Each epoch has its own generator, so that any step's batch can be found without those before it.
    A process takes every n-th image of the batch: together they take what one alone would.
    """

    def __init__(self, images: int, together: int, seed: int, first: int, accelerator: Accelerator):
        self.images, self.together, self.seed, self.first = images, together, seed, first
        self.mine = slice(accelerator.process_index, None, accelerator.num_processes)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        per_epoch = self.images // self.together  # the few left over come another time
        epoch, position = divmod(self.first, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(self.images, generator=generator)
            mirrored = torch.rand(self.images, generator=generator) < 0.5
            for i in range(position, per_epoch):
                indices = order[i * self.together : (i + 1) * self.together][self.mine]
                yield indices, mirrored[indices]
            epoch, position = epoch + 1, 0


class _Fetching(Dataset):
    """Whole batches as the items of a data set, so that a DataLoader's workers can fetch them."""

    def __init__(self, data: Data):
        self.data = data

    def __getitem__(self, wanted: tuple[Tensor, Tensor]) -> tuple[Any, Tensor]:
        indices, mirrored = wanted
        return self.data.tensor(indices.numpy()), mirrored


def _leave_signals_to_main(_worker: int) -> None:
    """Terminals, clusters and torchrun signal a whole group, and the last step needs its batch.

    A worker notices by itself when its main process is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _noise_as_it_was(device: torch.device) -> AbstractContextManager:
    """Whatever random numbers are drawn within, afterwards they are as before."""
    cards = [torch.cuda.current_device()] if device.type == "cuda" else []
    return torch.random.fork_rng(devices=cards)


class _Recorder:
    """Collects losses on the device and moves them to the history now and then."""

    def __init__(
        self,
        history: History,
        rates: list,
        checkpoints: Checkpoints | None,
        accelerator: Accelerator,
    ):
        self.history, self.rates, self.checkpoints = history, rates, checkpoints
        self.accelerator = accelerator
        self.waiting: list[dict[str, Tensor]] = []

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
            print(
                f"Interrupted in the middle of {self._step_now()}. {_last_good(self.checkpoints)}"
            )
            raise
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"The memory of the {self.accelerator.device.type} is full in {self._step_now()}. "
                "Try a batch_size half as large, a smaller width or image size, or faces.stream "
                f"for data that fills the memory. {_last_good(self.checkpoints)} ({error})"
            ) from error

    def _step_now(self) -> str:
        return f"step {self.history.steps + len(self.waiting) + 1}"

    def _advice(self, what: str, step: int) -> str:
        rates = ", ".join(f"{rate:g}" for group in self.rates for rate in group)
        now = f" (now {rates})" if rates else ""
        return f"{what} at step {step}. {_what_to_try(now)} {_last_good(self.checkpoints)}"


def _what_to_try(rates: str) -> str:
    return (
        "Training stopped, and the networks in memory are spoilt. Try learning rates half as "
        f'large{rates}, then precision="no", then a look at the data for values outside [-1, 1].'
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a class of its own for GPUs only."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(word in str(error).lower() for word in words)


def _last_good(checkpoints: Checkpoints | None) -> str:
    if checkpoints is None:
        return "No checkpoint was kept: give `fit` a folder next time."
    steps = checkpoints.steps()
    if not steps:
        return f"There was no checkpoint in {checkpoints.folder} yet."
    return (
        f"The last good checkpoint is {checkpoints.name(steps[-1])} in {checkpoints.folder}: "
        "the same call, or command, goes on from there."
    )


# Watching


class TensorBoard:
    """Losses, images per second, measures and pictures for TensorBoard; give it to `fit` as report.

    A resumed training tells its whole history again, and what stood there before is purged: what
    had been logged after the checkpoint does not stay as a second curve. Needs the package
    `tensorboard`; ImportError says how to get it.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
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
                grid = _tile(snapshot.pictures)
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


# Checkpoints


class Checkpoints:
    """Everything a training needs to go on, as safetensors and JSON: nothing is ever unpickled.

    `step-00001000.safetensors` has the tensors, `step-00001000.json` the rest and the hash of the
    first. Each file is written under another name and then renamed, the JSON last: what has a JSON
    is whole. The two newest are kept. A damaged one is found by its hash, and the one before used.

    With several processes the main one writes, and all read; `accelerator` is None for one process.
    """

    def __init__(
        self,
        folder: str | Path,
        keep: Mapping[str, Any],
        setup: Mapping[str, Any],
        accelerator: Accelerator | None = None,
    ):
        self.folder, self.keep, self.setup = Path(folder), dict(keep), dict(setup)
        self.accelerator = accelerator
        self.rank = accelerator.process_index if accelerator else 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the folder: no other training may write to it now.

        Raises CheckpointError when another does, or when nothing can be written here: before
        anything is trained.
        """
        if self.rank:
            yield
            return
        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _take(lock)
            with atomic(self.folder / ".probe") as temporary:
                temporary.touch()
            (self.folder / ".probe").unlink()
        except Timeout:
            raise CheckpointError(
                f"another training is writing to {self.folder}: wait until it has ended, or give "
                "this one another folder"
            ) from None
        except OSError as error:
            lock.release()
            raise CheckpointError(
                f"nothing can be written to {self.folder} ({error.strerror}), so nothing was "
                "trained. Choose another folder, or change its permissions."
            ) from error
        try:
            for unfinished in self.folder.rglob(".step-*"):  # of a process killed as it wrote
                unfinished.unlink()
            yield
        finally:
            lock.release()

    @staticmethod
    def name(step: int) -> str:
        return f"step-{step:08d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(
            int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.json")
        )

    def save(self, history: History) -> None:
        """Write a checkpoint. Called in all processes, since each gives its random numbers' state.

        Raises BadLossError and writes nothing when a weight is no number, CheckpointError when the
        disk is full or gone: in all processes, so that none waits for the others.
        """
        failure: TrainingError | None = None
        random = self._everyones_random_state()
        if not self.rank:
            try:
                self._write(history, random)
            except TrainingError as error:
                failure = error
            except (OSError, SafetensorError) as error:
                failure = CheckpointError(self._not_written(history.steps, error))
                failure.__cause__ = error
        if self.accelerator and _agree(int(failure is not None), 0.0, self.accelerator)[0]:
            failure = failure or CheckpointError("the main process could not save, see its message")
        if failure:
            raise failure

    def _not_written(self, step: int, error: Exception) -> str:
        full = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
        what = "the disk is full" if full else str(error)
        return (
            f"{self.name(step)} could not be written to {self.folder}: {what}. The networks in "
            f"memory are as they are after step {step}. {_last_good(self)} Make room first, or "
            "copy this folder to another disk and give that one."
        )

    def _write(self, history: History, random: Mapping[str, Tensor]) -> None:
        tensors, numbers = {}, {}
        for part_name, part in self.keep.items():
            for key, value in _state_of(part).items():
                if isinstance(value, Tensor):
                    tensors[f"{part_name}/{key}"] = value.detach().cpu().contiguous()
                else:
                    numbers[f"{part_name}/{key}"] = value
        for key, value in tensors.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise BadLossError(
                    f"{key} is no longer finite. {_what_to_try('')} {_last_good(self)}"
                )
        tensors |= {f"random/{key}": value for key, value in random.items()}
        tensors |= {
            f"losses/{key}": torch.tensor(value, dtype=torch.float64)
            for key, value in history.losses.items()
        }
        base = self.folder / self.name(history.steps)
        with atomic(base.with_suffix(".safetensors")) as temporary:
            save_file({k: v.clone() for k, v in tensors.items()}, temporary)
            tensor_hash = sha256(temporary)
        about = {
            "format": CHECKPOINT_FORMAT,
            "step": history.steps,
            "seconds": history.seconds,
            "setup": self.setup,
            "numbers": numbers,
            "snapshots": [self.save_pictures(snapshot) for snapshot in history.snapshots],
            "tensors_sha256": tensor_hash,
        }
        with atomic(base.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(about | {"sha256": _digest(about)}, indent=1))
        for step in self.steps()[:-CHECKPOINTS_KEPT]:
            for suffix in (".json", ".safetensors"):
                (self.folder / self.name(step)).with_suffix(suffix).unlink(missing_ok=True)

    def load(self) -> History | None:
        """Put the newest whole checkpoint into the kept parts and return its history.

        Raises CheckpointError when none is whole, or when the processes found different ones.
        """
        found, failure = None, None
        try:
            found = self._newest_whole()
        except CheckpointError as error:
            failure = error
        if self.accelerator and self.accelerator.num_processes > 1:
            mark = [-1 if failure else 0, 0]
            if found:
                mark = [found[0]["step"], int(found[0]["tensors_sha256"][:12], 16)]
            marks = self.accelerator.gather(torch.tensor([mark], device=self.accelerator.device))
            if not (marks == marks[0]).all():
                failure = CheckpointError(
                    f"the processes do not find the same checkpoint in {self.folder}: give a "
                    "folder that all of them, on all machines, share"
                )
        if failure:
            raise failure
        return self._restore(*found) if found else None

    def _newest_whole(self) -> tuple[dict, dict[str, Tensor]] | None:
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self._read(step)
            except CheckpointError as reason:
                if not self.rank:
                    warnings.warn(f"{reason} The one before it is used.", stacklevel=4)
        if steps:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole: empty this folder and start again, "
                "or give `fit` another one"
            )
        return None

    def _read(self, step: int) -> tuple[dict, dict[str, Tensor]]:
        base = self.folder / self.name(step)
        try:
            about = json.loads(base.with_suffix(".json").read_text())
            stated = about.pop("sha256")
            if stated != _digest(about):
                raise CheckpointError(f"{base.name}.json was changed after it was written.")
            if about["format"] != CHECKPOINT_FORMAT:
                raise CheckpointError(f"{base.name} is of format {about['format']}.")
            if sha256(base.with_suffix(".safetensors")) != about["tensors_sha256"]:
                raise CheckpointError(f"{base.name}.safetensors does not have the hash it should.")
            return about, load_file(base.with_suffix(".safetensors"))
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
            raise CheckpointError(f"{base.name} cannot be read ({error}).") from error

    def _restore(self, about: dict, tensors: dict[str, Tensor]) -> History:
        if about["setup"] != self.setup:
            different = [
                f"{key} {about['setup'].get(key)} (now {value})"
                for key, value in self.setup.items()
                if about["setup"].get(key) != value
            ]
            raise CheckpointError(
                f"{self.folder} holds another training: {', '.join(different)}. "
                "Use the same settings, or give `fit` another folder."
            )
        values = tensors | about["numbers"]
        for part_name, part in self.keep.items():
            prefix = f"{part_name}/"
            state = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
            try:
                _restore_state(part, state)
            except (RuntimeError, ValueError, KeyError) as error:
                raise CheckpointError(
                    f"{self.folder} holds another {part_name}. Use the same network (its width, "
                    f"its image size), or give `fit` another folder. {error}"
                ) from error
        self._restore_random(
            about["step"], {k: v for k, v in tensors.items() if k.startswith("random/")}
        )
        prefix = "losses/"
        losses = {
            k.removeprefix(prefix): v.tolist() for k, v in tensors.items() if k.startswith(prefix)
        }
        snapshots = [self._load_snapshot(one) for one in about["snapshots"]]
        return History(self.setup["batch_size"], losses, snapshots, about["seconds"])

    def _everyones_random_state(self) -> dict[str, Tensor]:
        """Each process's random numbers as a row, uint8 (processes, bytes)."""
        state = {"cpu": torch.get_rng_state()}
        state |= {kind: module.get_rng_state() for kind, module in self._device_random().items()}
        if not self.accelerator:
            return {key: value[None] for key, value in state.items()}
        device = self.accelerator.device
        return {
            key: self.accelerator.gather(value[None].to(device)).cpu()
            for key, value in state.items()
        }

    def _device_random(self) -> dict[str, Any]:
        """The device's own random numbers: {"cuda": torch.cuda}, {"mps": torch.mps} or none."""
        kind = self.accelerator.device.type if self.accelerator else "cpu"
        return {kind: getattr(torch, kind)} if kind in ("cuda", "mps") else {}

    def _restore_random(self, step: int, state: Mapping[str, Tensor]) -> None:
        """This process's row; a process that was not there before starts its own numbers."""
        saved, now = len(state["random/cpu"]), 1
        if self.accelerator:
            now = self.accelerator.num_processes
        if saved != now and not self.rank:
            warnings.warn(
                f"{self.folder} was saved by {saved} processes and now there are {now}: the "
                "training goes on with other noise than it would have had.",
                stacklevel=4,
            )
        if self.rank >= saved:
            torch.manual_seed(hash((self.setup["seed"], self.rank, step)))
            return
        mine = {key: rows[self.rank].clone() for key, rows in state.items()}  # no view: torch minds
        torch.set_rng_state(mine["random/cpu"])
        for kind, module in self._device_random().items():
            if f"random/{kind}" in mine:
                module.set_rng_state(mine[f"random/{kind}"])

    def save_pictures(self, snapshot: Snapshot) -> dict:
        """Write a snapshot's grid to `pictures/`, for whoever looks; return its line in the JSON.

        An OSError here is told as a warning: the training is worth more than a picture of it.
        """
        path = self.folder / "pictures" / f"{self.name(snapshot.step)}.png"
        try:
            if len(snapshot.pictures) and not path.exists():
                path.parent.mkdir(exist_ok=True)
                with atomic(path) as temporary:
                    Image.fromarray(_tile(snapshot.pictures)).save(temporary, format="PNG")
        except OSError as error:
            warnings.warn(f"{path.name} could not be written: {error}", stacklevel=3)
        return {
            "step": snapshot.step,
            "size": snapshot.pictures.shape[1],
            "measures": snapshot.measures,
        }

    def _load_snapshot(self, about: dict) -> Snapshot:
        path = self.folder / "pictures" / f"{self.name(about['step'])}.png"
        if not about["size"]:  # only watched
            return Snapshot(about["step"], np.zeros((0, 0, 0, 3), np.uint8), about["measures"])
        try:
            pictures = _untile(np.asarray(Image.open(path).convert("RGB")), about["size"])
        except (OSError, ValueError):
            warnings.warn(f"{path.name} cannot be read; its pictures are left out.", stacklevel=4)
            pictures = np.zeros((0, about["size"], about["size"], 3), np.uint8)
        return Snapshot(about["step"], pictures, about["measures"])


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; renamed to it when all is written, removed when not."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        with suppress(OSError):  # of a disk that is gone: the first error is the one to tell
            temporary.unlink(missing_ok=True)


def _take(lock: FileLock) -> None:
    """Raises Timeout when another has it; without locks, as on some network drives, warns."""
    try:
        lock.acquire(timeout=0)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        warnings.warn(
            f"the drive of {lock.lock_file} knows no locks: see to it yourself that no other "
            "training writes there",
            stacklevel=4,
        )


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


def _is_optimiser(part: Any) -> bool:
    return isinstance(getattr(part, "optimizer", part), torch.optim.Optimizer)


def _unwrapped(part: Any) -> Any:
    """Without what accelerate put around it."""
    if _is_optimiser(part):
        return getattr(part, "optimizer", part)
    return part.module if isinstance(part, nn.parallel.DistributedDataParallel) else part


def _state_of(part: Any) -> dict[str, Any]:
    """All that `part` would need to go on, as a flat dictionary of tensors and plain numbers."""
    part = _unwrapped(part)
    if isinstance(part, torch.Generator):
        return {"state": part.get_state()}
    if isinstance(part, EMA):
        return part.network.state_dict() | {"updates": part.updates}
    if isinstance(part, nn.Module | torch.amp.GradScaler):
        return part.state_dict()
    if isinstance(part, torch.optim.Optimizer):
        states = part.state_dict()["state"]
        return {f"{i}/{k}": v for i, s in states.items() for k, v in s.items() if v is not None}
    raise TypeError(
        f"`keep` takes networks, optimisers, EMAs and generators, not {type(part).__name__}"
    )


def _restore_state(part: Any, state: dict[str, Any]) -> None:
    part = _unwrapped(part)
    if isinstance(part, EMA):
        part.updates = state.pop("updates")
        part.network.load_state_dict(state)
    elif isinstance(part, torch.Generator):
        part.set_state(state["state"])
    elif isinstance(part, nn.Module):
        part.load_state_dict(state)
    elif isinstance(part, torch.amp.GradScaler):
        if state:  # none was saved by a training in another precision
            part.load_state_dict(state)
    else:
        # Learning rates and the like come from your code, the moments from the checkpoint: so a
        # training that went wrong can go on from its last good checkpoint with a lower rate.
        parameters = [p for group in part.param_groups for p in group["params"]]
        states: dict[int, dict[str, Any]] = {}
        for key, value in state.items():
            index, name = key.split("/", 1)
            like = parameters[int(index)]
            if isinstance(value, Tensor) and value.shape == like.shape and value.ndim:
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)  # its memory layout
            states.setdefault(int(index), {})[name] = value
        part.load_state_dict({"state": states, "param_groups": part.state_dict()["param_groups"]})


def _set_rates(optimisers: list, rates: list[list[float]], factor: float) -> None:
    for optimiser, own in zip(optimisers, rates, strict=True):
        for group, rate in zip(optimiser.param_groups, own, strict=True):
            group["lr"] = rate * factor


AT_ONCE = 1.0  # seconds


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
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


# Pictures as bytes


def _to_uint8(images: Tensor) -> np.ndarray:
    """(n, 3, S, S) in [-1, 1] → uint8 (n, S, S, 3)."""
    images = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).cpu().numpy()


def _tile(pictures: np.ndarray) -> np.ndarray:
    number, size = pictures.shape[:2]
    columns = gcd(number, 16)
    rows = pictures.reshape(number // columns, columns, size, size, 3)
    return rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * size, 3)


def _untile(picture: np.ndarray, size: int) -> np.ndarray:
    rows = picture.reshape(picture.shape[0] // size, size, picture.shape[1] // size, size, 3)
    return rows.transpose(0, 2, 1, 3, 4).reshape(-1, size, size, 3)
