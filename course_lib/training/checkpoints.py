"""Checkpoints: everything a training needs to go on, and nothing that is lost half written."""

from __future__ import annotations

import errno
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from filelock import Timeout
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib.files import atomic, digest, lock, sha256
from course_lib.pixels import cut_grid, image_grid
from course_lib.training.failures import (
    BadLossError,
    CheckpointError,
    TrainingError,
    what_to_try,
)
from course_lib.training.history import History, Snapshot
from course_lib.training.machine import agree, derive
from course_lib.training.parts import restore_state, state_of

FORMAT = 3
KEPT = 2  # the newest, and one to fall back on
NAME = re.compile(r"step-(\d{8,})\.json")


class Checkpoints:
    """All that a training needs to go on, as safetensors and JSON: nothing is ever unpickled.

    `step-00001000.safetensors` has the tensors, `step-00001000.json` the rest and the hash of the
    first. Each file is written under another name and then renamed, the JSON last: what has a JSON
    is whole. The two newest are kept. A damaged one is found by its hash, and the one before used.

    setup: what must be equal when the training goes on. With several processes the main one writes,
    and all read; `accelerator` is None for one process. Without a folder nothing is saved.
    """

    def __init__(
        self,
        folder: str | Path | None,
        keep: Mapping[str, Any] | None = None,
        setup: Mapping[str, Any] | None = None,
        accelerator: Accelerator | None = None,
    ):
        self.folder = Path(folder) if folder else None
        self.keep, self.setup = dict(keep or {}), _as_json_has_it(setup or {})
        self.accelerator = accelerator
        self.rank = accelerator.process_index if accelerator else 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the folder: no other training may write to it now.

        Raises CheckpointError when another does, or when nothing can be written here: before
        anything is trained.
        """
        if self.folder is None or self.rank:
            yield
            return
        with ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(lock(self.folder / ".lock", timeout=0))
                with atomic(self.folder / ".probe") as temporary:
                    temporary.touch()
                (self.folder / ".probe").unlink()
            except Timeout:
                raise CheckpointError(
                    f"another training is writing to {self.folder}: wait until it has ended, or "
                    "give this one another folder"
                ) from None
            except OSError as error:
                raise CheckpointError(
                    f"nothing can be written to {self.folder} ({error.strerror}), so nothing was "
                    "trained. Choose another folder, or change its permissions."
                ) from error
            for unfinished in self.folder.rglob(".step-*"):  # of a process killed as it wrote
                unfinished.unlink()
            yield

    @staticmethod
    def name(step: int) -> str:
        return f"step-{step:08d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order; copies that a person made do not count."""
        names = (NAME.fullmatch(path.name) for path in self.folder.glob("step-*.json"))
        return sorted(int(name[1]) for name in names if name)

    def last_good(self) -> str:
        """A sentence about what is saved."""
        if self.folder is None:
            return "No checkpoint was kept: give `fit` a folder next time."
        steps = self.steps()
        if not steps:
            return f"There was no checkpoint in {self.folder} yet."
        return (
            f"The last good checkpoint is {self.name(steps[-1])} in {self.folder}: "
            "the same call, or command, goes on from there."
        )

    # Writing

    def save(self, history: History) -> None:
        """Write a checkpoint. Called in all processes, since each gives its random numbers' state.

        Raises BadLossError and writes nothing when a weight is no number, CheckpointError when the
        disk is full or gone: in all processes, so that none waits for the others.
        """
        if self.folder is None:
            return
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
        if self.accelerator and agree(int(failure is not None), 0.0, self.accelerator)[0]:
            failure = failure or CheckpointError("the main process could not save, see its message")
        if failure:
            raise failure

    def _not_written(self, step: int, error: Exception) -> str:
        full = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
        what = "the disk is full" if full else str(error)
        return (
            f"{self.name(step)} could not be written to {self.folder}: {what}. The networks in "
            f"memory are as they are after step {step}. {self.last_good()} Make room first, or "
            "copy this folder to another disk and give that one."
        )

    def _write(self, history: History, random: Mapping[str, Tensor]) -> None:
        tensors, numbers = {}, {}
        for part_name, part in self.keep.items():
            for key, value in state_of(part).items():
                if isinstance(value, Tensor):
                    tensors[f"{part_name}/{key}"] = value.detach().cpu().contiguous()
                else:
                    numbers[f"{part_name}/{key}"] = value
        for key, value in tensors.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise BadLossError(f"{key} is no longer finite. {what_to_try()} {self.last_good()}")
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
            "format": FORMAT,
            "step": history.steps,
            "seconds": history.seconds,
            "setup": self.setup,
            "numbers": numbers,
            "snapshots": [self.save_pictures(snapshot) for snapshot in history.snapshots],
            "tensors_sha256": tensor_hash,
        }
        with atomic(base.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(about | {"sha256": digest(about)}, indent=1))
        for step in self.steps()[:-KEPT]:
            for suffix in (".json", ".safetensors"):
                (self.folder / self.name(step)).with_suffix(suffix).unlink(missing_ok=True)

    def save_pictures(self, snapshot: Snapshot) -> dict:
        """Write a snapshot's grid to `pictures/`, for whoever looks; return its line in the JSON.

        An OSError here is told as a warning: the training is worth more than a picture of it.
        """
        number, size = snapshot.pictures.shape[:2]
        if self.folder and number:
            path = self._grid(snapshot.step)
            try:
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    grid = image_grid(snapshot.pictures, columns=gcd(number, 16), gap=0)
                    with atomic(path) as temporary:
                        Image.fromarray(grid).save(temporary, format="PNG")
            except OSError as error:
                warnings.warn(f"{path.name} could not be written: {error}", stacklevel=3)
        return {"step": snapshot.step, "size": size, "measures": snapshot.measures}

    def _grid(self, step: int) -> Path:
        return self.folder / "pictures" / f"{self.name(step)}.png"

    # Reading

    def load(self) -> History | None:
        """Put the newest whole checkpoint into the kept parts and return its history.

        Raises CheckpointError when none is whole, when it is of another training, or when the
        processes found different ones.
        """
        if self.folder is None:
            return None
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
            about = json.loads(base.with_suffix(".json").read_text(encoding="utf-8"))
            stated = about.pop("sha256")
            if stated != digest(about):
                raise CheckpointError(f"{base.name}.json was changed after it was written.")
            if sha256(base.with_suffix(".safetensors")) != about["tensors_sha256"]:
                raise CheckpointError(f"{base.name}.safetensors does not have the hash it should.")
            return about, load_file(base.with_suffix(".safetensors"))
        except CheckpointError:
            raise
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
            raise CheckpointError(f"{base.name} cannot be read ({error}).") from error

    def _restore(self, about: dict, tensors: dict[str, Tensor]) -> History:
        self._check(about)
        values = tensors | about["numbers"]

        def below(prefix: str) -> dict[str, Any]:
            return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}

        for part_name, part in self.keep.items():
            try:
                restore_state(part, below(f"{part_name}/"))
            except (RuntimeError, ValueError, KeyError) as error:
                raise CheckpointError(
                    f"{self.folder} holds another {part_name}. Use the same network (its width, "
                    f"its image size), or give `fit` another folder. {error}"
                ) from error
        self._restore_random(about["step"], below("random/"))
        losses = {name: values.tolist() for name, values in below("losses/").items()}
        snapshots = [self._load_snapshot(one) for one in about["snapshots"]]
        return History(self.setup["batch_size"], losses, snapshots, about["seconds"])

    def _check(self, about: dict) -> None:
        """CheckpointError unless the checkpoint is of this very training."""
        if about["format"] != FORMAT:
            raise CheckpointError(
                f"{self.folder} was written by another version of the course (checkpoints of "
                f"format {about['format']}, here {FORMAT}), whose trainings draw other random "
                "numbers: finish the training with that version, or give `fit` another folder"
            )
        now, before = self.setup, about["setup"]
        different = [
            f"{key} {before.get(key)} (now {now.get(key)})"
            for key in now | before
            if before.get(key) != now.get(key)
        ]
        if different:
            raise CheckpointError(
                f"{self.folder} holds another training: {', '.join(different)}. "
                "Use the same settings, or give `fit` another folder."
            )

    def _load_snapshot(self, about: dict) -> Snapshot:
        size, path = about["size"], self._grid(about["step"])
        pictures = np.zeros((0, size, size, 3), np.uint8)
        if size:  # else it was only watched
            try:
                pictures = cut_grid(np.asarray(Image.open(path).convert("RGB")), size)
            except (OSError, ValueError):
                warnings.warn(
                    f"{path.name} cannot be read; its pictures are left out.", stacklevel=4
                )
        return Snapshot(about["step"], pictures, about["measures"])

    # Random numbers

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
        saved = len(state["cpu"])
        now = self.accelerator.num_processes if self.accelerator else 1
        if saved != now and not self.rank:
            warnings.warn(
                f"{self.folder} was saved by {saved} processes and now there are {now}: the "
                "training goes on with other noise than it would have had.",
                stacklevel=4,
            )
        if self.rank >= saved:
            torch.manual_seed(derive(self.setup["seed"], "noise", self.rank, step))
            return
        mine = {key: rows[self.rank].clone() for key, rows in state.items()}  # no view: torch minds
        torch.set_rng_state(mine["cpu"])
        for kind, module in self._device_random().items():
            if kind in mine:
                module.set_rng_state(mine[kind])


def _as_json_has_it(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples are lists there; TypeError for what is nothing there, before anything is trained."""
    try:
        return json.loads(json.dumps(setup))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a recipe consists of numbers, texts, and lists of them, for the checkpoints: {error}"
        ) from error
