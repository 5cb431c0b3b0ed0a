"""The training loop that lessons 3, 4 and 5 share: `fit` calls your `step` on batch after batch.

What is learnt, and by which loss, is written in the lesson's own step (see `dcgan.tutorial_step`).
What every training needs around it is here, once: the order of the batches, flips, a progress bar,
the history, pictures along the way, an average of the weights, checkpoints, and going on from one.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from math import gcd
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib import settings

CHECKPOINT_FORMAT = 1
CHECKPOINTS_KEPT = 2  # the newest, and one to fall back on


class BadLossError(RuntimeError):
    """A loss or a weight became NaN or infinite."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says why and what to do."""


class Data(Protocol):
    """What `fit` needs of a data set; `faces.Faces` is one."""

    def __len__(self) -> int: ...

    def tensor(self, indices: Any) -> Tensor: ...


Step = Callable[[Tensor], Mapping[str, Tensor | float]]


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
    `accelerate launch`, else 32 bits. The device is `settings.device()`.
    """
    if precision not in (None, "auto", "no", "bf16", "fp16"):
        raise ValueError(
            f'precision {precision!r} is unknown; choose "auto", "no", "bf16" or "fp16"'
        )
    if precision == "auto":
        precision = fast_precision()
    wanted = settings.device()
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
    keep: Mapping[str, nn.Module | torch.optim.Optimizer | EMA] | None = None,
    pictures: Callable[[], Tensor] | None = None,
    pictures_every: int | Collection[int] = 500,
    watch: Callable[[], Mapping[str, float]] | None = None,
    schedule: Callable[[float], float] | None = None,
    folder: str | Path | None = None,
    save_every: int = 500,
    max_minutes: float | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = True,
    look_every: int = 50,
    clock: Callable[[], float] = time.perf_counter,
) -> History:
    """Call `step(batch)` for `steps` batches of `data`, and return the history.

    step: takes images (B, 3, S, S) in [-1, 1] on the accelerator's device, changes its networks,
        returns its losses by name, as tensors that are still on the device: they are looked at
        together every `look_every` steps, because asking a GPU for a number makes it wait.
    steps: how many in all; a resumed training does the rest of them.
    flip: mirror each image with probability ½.
    keep: all that the training changes, by name: networks, optimisers, EMAs. EMAs are updated after
        each step; the schedule turns these optimisers' learning rates; checkpoints hold it all.
    pictures: makes images (n, 3, S, S) of always the same noise; called at step 0, every
        `pictures_every` steps (or at these steps) and at the end. watch: other numbers to note at
        the same moments.
    schedule: progress from 0 to 1 → what to multiply the learning rates by, e.g. `linear_decay()`.
    folder: save a checkpoint here every `save_every` steps and at the end, and go on from the one
        that is there. Equal settings give an equal training, interrupted or not: the order of the
        images follows from `seed` and the epoch, and the state of torch's random numbers is saved.
    max_minutes: stop after so long, counting the time before an interruption.
    clock: the seconds that count. `time.process_time` counts those of the processor, so that a
        comparison of trainings on a CPU, with one thread each, depends little on who else uses it.

    Ctrl-C (the notebook's ■) ends the training after the step it is in, saved and with its history.
    Raises BadLossError when a loss is NaN or infinite, CheckpointError when `folder` holds
    something else, ValueError when there are too few images.
    """
    if len(data) == 0:
        raise ValueError("there are no images to train on: check the folder or the selection")
    accelerator = accelerator or make_accelerator()
    together = batch_size * accelerator.num_processes  # the images of one step, over all processes
    if together > len(data):
        raise ValueError(
            f"a batch of {together} is more than the {len(data)} images there are; "
            f"choose batch_size ≤ {len(data) // accelerator.num_processes} (in a recipe: "
            "dataclasses.replace(recipe, batch_size=…)) or load more images"
        )
    keep = dict(keep or {})
    averages = [part for part in keep.values() if isinstance(part, EMA)]
    optimisers = [part for part in keep.values() if _is_optimiser(part)]
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    setup = {"seed": seed, "batch_size": together, "images": len(data), "flip": flip}

    torch.manual_seed(seed + accelerator.process_index)
    history = History(batch_size=together)
    checkpoints = Checkpoints(folder, keep, setup) if folder else None
    if checkpoints and (found := checkpoints.load()):
        history = found
        history.stopped = ""
    first = history.steps
    recorder = _Recorder(history, rates, checkpoints)
    batches = _batches(data, together, seed, flip, first, accelerator)

    def is_moment(done: int) -> bool:
        if isinstance(pictures_every, int):
            return done % pictures_every == 0
        return done in pictures_every

    def note_pictures(done: int) -> None:
        if pictures is None or (history.snapshots and history.snapshots[-1].step >= done):
            return
        with torch.no_grad(), torch.random.fork_rng():
            images = _to_uint8(pictures())
            measures = {name: float(value) for name, value in (watch or dict)().items()}
        history.snapshots.append(Snapshot(done, images, measures))

    def progressed(done: int) -> float:
        of_time = history.seconds / (60 * max_minutes) if max_minutes else 0.0
        return min(1.0, max((done - 1) / steps, of_time))

    note_pictures(first)
    before, started = history.seconds, clock()
    bar = tqdm(total=steps, initial=first, unit="step", disable=not progress, leave=True)
    try:
        with _interrupts() as interrupted:
            for done in range(first + 1, steps + 1):
                if schedule:
                    _set_rates(optimisers, rates, schedule(progressed(done)))
                recorder.add(step(next(batches)))
                for average in averages:
                    average.update()

                history.seconds = before + clock() - started
                if interrupted():
                    history.stopped = "interrupted"
                elif max_minutes and history.seconds > 60 * max_minutes and done < steps:
                    history.stopped = "out of time"
                last = done == steps or bool(history.stopped)

                if last or done % look_every == 0:
                    recorder.look()  # waits for a GPU to finish, so that the time is true
                    history.seconds = before + clock() - started
                    bar.update(done - bar.n)
                    bar.set_postfix(recorder.latest(), refresh=False)
                if pictures and (last or is_moment(done)):
                    recorder.look()
                    note_pictures(done)
                if checkpoints and (last or done % save_every == 0):
                    recorder.look()
                    if accelerator.is_main_process:
                        checkpoints.save(history)
                    accelerator.wait_for_everyone()
                if last:
                    break
    finally:
        bar.close()
        _set_rates(optimisers, rates, 1.0)
    if history.stopped == "interrupted":
        where = f"saved in {folder}" if folder else "not saved, for want of a folder"
        print(f"Stopped after step {history.steps} of {steps}; {where}.")
    return history


def linear_decay(start: float = 0.5, end: float = 0.0) -> Callable[[float], float]:
    """A schedule: 1 until the part `start` of the training, then a straight line down to `end`."""
    if not 0 <= start < 1:
        raise ValueError(f"start is {start}; choose 0 ≤ start < 1, a part of the training")

    def factor(progress: float) -> float:
        return 1.0 if progress < start else end + (1 - end) * (1 - progress) / (1 - start)

    return factor


def _batches(
    data: Data, together: int, seed: int, flip: bool, first: int, accelerator: Accelerator
) -> Iterator[Tensor]:
    """Batches without end, from step `first` on; each epoch has its own generator of order."""
    per_epoch = len(data) // together  # the few images left over come another time
    epoch, position = divmod(first, per_epoch)
    mine = slice(accelerator.process_index, None, accelerator.num_processes)
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(data), generator=generator)
        mirrored = torch.rand(len(data), generator=generator) < 0.5
        for start in range(position * together, per_epoch * together, together):
            indices = order[start : start + together][mine]
            batch = data.tensor(indices.numpy()).to(accelerator.device, non_blocking=True)
            if flip:
                chosen = mirrored[indices].view(-1, 1, 1, 1).to(batch.device)
                batch = torch.where(chosen, batch.flip(-1), batch)
            yield batch
        epoch, position = epoch + 1, 0


class _Recorder:
    """Collects losses on the device and moves them to the history now and then."""

    def __init__(self, history: History, rates: list, checkpoints: Checkpoints | None):
        self.history, self.rates, self.checkpoints = history, rates, checkpoints
        self.waiting: list[dict[str, Tensor]] = []

    def add(self, losses: Mapping[str, Tensor | float]) -> None:
        if not isinstance(losses, Mapping) or not losses:
            raise TypeError(
                'the step must return its losses by name, such as {"loss_G": loss}; '
                f"it returned {type(losses).__name__}"
            )
        self.waiting.append({k: torch.as_tensor(v).detach() for k, v in losses.items()})

    def look(self) -> None:
        """Move what is waiting to the history; raise at the first number that is none."""
        if not self.waiting:
            return
        names = self.waiting[0]
        columns = {k: torch.stack([row[k].float() for row in self.waiting]).cpu() for k in names}
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

    def _advice(self, what: str, step: int) -> str:
        rates = ", ".join(f"{rate:g}" for group in self.rates for rate in group)
        now = f" (now {rates})" if rates else ""
        return f"{what} at step {step}. {_what_to_try(now)} {_last_good(self.checkpoints)}"


def _what_to_try(rates: str) -> str:
    return (
        "Training stopped, and the networks in memory are spoilt. Try learning rates half as "
        f'large{rates}, then precision="no", then a look at the data for values outside [-1, 1].'
    )


def _last_good(checkpoints: Checkpoints | None) -> str:
    if checkpoints is None:
        return "No checkpoint was kept: give `fit` a folder next time."
    steps = checkpoints.steps()
    if not steps:
        return f"There was no checkpoint in {checkpoints.folder} yet."
    return (
        f"The last good checkpoint is {checkpoints.name(steps[-1])} in {checkpoints.folder}: "
        "call `fit` again with this folder to go on from there."
    )


# Checkpoints


class Checkpoints:
    """Everything a training needs to go on, as safetensors and JSON: nothing is ever unpickled.

    `step-00001000.safetensors` has the tensors, `step-00001000.json` the rest and the hash of the
    first. Each file is written under another name and then renamed, the JSON last: what has a JSON
    is whole. The two newest are kept. A damaged one is found by its hash, and the one before used.
    """

    def __init__(self, folder: str | Path, keep: Mapping[str, Any], setup: Mapping[str, Any]):
        self.folder, self.keep, self.setup = Path(folder), dict(keep), dict(setup)
        self.folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def name(step: int) -> str:
        return f"step-{step:08d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(
            int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.json")
        )

    def save(self, history: History) -> None:
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
        tensors |= {f"random/{key}": value for key, value in _random_state().items()}
        tensors |= {
            f"losses/{key}": torch.tensor(value, dtype=torch.float64)
            for key, value in history.losses.items()
        }
        for unfinished in self.folder.glob(".step-*"):  # of a process that was killed as it wrote
            unfinished.unlink()
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
            "snapshots": [self._save_snapshot(snapshot) for snapshot in history.snapshots],
            "tensors_sha256": tensor_hash,
        }
        with atomic(base.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(about | {"sha256": _digest(about)}, indent=1))
        for step in self.steps()[:-CHECKPOINTS_KEPT]:
            for suffix in (".json", ".safetensors"):
                (self.folder / self.name(step)).with_suffix(suffix).unlink(missing_ok=True)

    def load(self) -> History | None:
        """Put the newest whole checkpoint into the kept parts and return its history."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                about, tensors = self._read(step)
            except CheckpointError as reason:
                warnings.warn(f"{reason} The one before it is used.", stacklevel=3)
                continue
            return self._restore(about, tensors)
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
        _restore_random({k: v for k, v in tensors.items() if k.startswith("random/")})
        prefix = "losses/"
        losses = {
            k.removeprefix(prefix): v.tolist() for k, v in tensors.items() if k.startswith(prefix)
        }
        snapshots = [self._load_snapshot(one) for one in about["snapshots"]]
        return History(self.setup["batch_size"], losses, snapshots, about["seconds"])

    def _save_snapshot(self, snapshot: Snapshot) -> dict:
        path = self.folder / "pictures" / f"{self.name(snapshot.step)}.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            with atomic(path) as temporary:
                Image.fromarray(_tile(snapshot.pictures)).save(temporary, format="PNG")
        return {
            "step": snapshot.step,
            "size": snapshot.pictures.shape[1],
            "measures": snapshot.measures,
        }

    def _load_snapshot(self, about: dict) -> Snapshot:
        path = self.folder / "pictures" / f"{self.name(about['step'])}.png"
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
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    if isinstance(part, EMA):
        return part.network.state_dict() | {"updates": part.updates}
    if isinstance(part, nn.Module):
        return part.state_dict()
    if isinstance(part, torch.optim.Optimizer):
        states = part.state_dict()["state"]
        return {f"{i}/{k}": v for i, s in states.items() for k, v in s.items() if v is not None}
    raise TypeError(f"`keep` takes networks, optimisers and EMAs, not {type(part).__name__}")


def _restore_state(part: Any, state: dict[str, Any]) -> None:
    part = _unwrapped(part)
    if isinstance(part, EMA):
        part.updates = state.pop("updates")
        part.network.load_state_dict(state)
    elif isinstance(part, nn.Module):
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


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random(state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["random/cpu"])
    if torch.cuda.is_available() and "random/cuda" in state:
        torch.cuda.set_rng_state(state["random/cuda"])


def _set_rates(optimisers: list, rates: list[list[float]], factor: float) -> None:
    for optimiser, own in zip(optimisers, rates, strict=True):
        for group, rate in zip(optimiser.param_groups, own, strict=True):
            group["lr"] = rate * factor


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question to ask after the step; a second one interrupts."""
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(_signal: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    usual = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
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
