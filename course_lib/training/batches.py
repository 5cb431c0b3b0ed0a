"""Which images are in which batch: the same from the same seed, also after an interruption."""

import hashlib
import signal
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor
from torch.profiler import record_function
from torch.utils.data import DataLoader, Dataset, Sampler

from course_lib.errors import CourseError
from course_lib.training.machine import PARTS_OF_A_STEP, derive

SAMPLE = 64  # pictures by which a data set without a `fingerprint` is known again


class Data(Protocol):
    """What `fit` needs of a data set; `faces.Faces` is one, and `faces.stream` returns one.

    tensor: the images (B, 3, S, S) in [-1, 1] of these indices, or a tuple of them and of what goes
    with them, such as the tokens of their captions: tensors whose first dimension is B.

    Two more are asked where they are there. `in_epoch(n)`: the data set as it is in that epoch,
    such as one with fresh captions. `fingerprint()`: a text that another data set would not have.
    """

    def __len__(self) -> int: ...

    def tensor(self, indices: Any) -> Any: ...


class Batches:
    """This process's part of each batch, without end.

    CourseError where there are too few images.
    """

    def __init__(
        self,
        data: Data,
        batch_size: int,
        accelerator: Accelerator,
        *,
        seed: int = 0,
        flip: bool = False,
        workers: int = 0,
    ):
        if len(data) == 0:
            raise CourseError("there are no images to train on: check the folder or the selection")
        self.together = batch_size * accelerator.num_processes
        if self.together > len(data):
            raise CourseError(
                f"a batch of {self.together} is more than the {len(data)} images there are; "
                f"choose batch_size ≤ {len(data) // accelerator.num_processes} (in a recipe: "
                "dataclasses.replace(recipe, batch_size=…)) or load more images"
            )
        self.data, self.seed, self.flip, self.workers = data, seed, flip, workers
        self.accelerator = accelerator

    def setup(self, with_data: bool = True) -> dict[str, Any]:
        """What must not change when a training goes on, with a fingerprint of the data or not."""
        return {
            "seed": self.seed,
            "batch_size": self.together,
            "images": len(self.data),
            "flip": self.flip,
            "data": fingerprint(self.data) if with_data else "",
        }

    def after(self, step: int) -> Iterator[Any]:
        """The batches from the one after `step` on, on the accelerator's device."""
        device = self.accelerator.device
        loader = DataLoader(
            _Fetching(self.data),
            sampler=_Order(len(self.data), self.together, self.seed, step, self.accelerator),
            batch_size=None,  # the order says which images are a batch
            num_workers=self.workers,
            pin_memory=self.workers > 0 and device.type == "cuda",  # the workers' own thread
            worker_init_fn=_leave_signals_to_main,
            generator=torch.Generator(),  # else it would take from torch's own random numbers
        )
        fetched = iter(loader)
        while True:
            with record_function(PARTS_OF_A_STEP[0]):
                batch, mirrored = next(fetched)
                images, *more = [batch] if isinstance(batch, Tensor) else batch
                images, more = send_to_device((images, more), device, non_blocking=True)
                if self.flip:
                    chosen = mirrored.view(-1, 1, 1, 1).to(images.device)
                    images = torch.where(chosen, images.flip(-1), images)
            yield (images, *more) if more else images


def fingerprint(data: Data) -> str:
    """By what this data set is known again: its own text, or that of a sample of its pictures.

    Nothing for one that gives other pictures each time, such as a randomly cropped one.
    """
    if hasattr(data, "fingerprint"):
        return data.fingerprint()
    rows = np.unique(np.linspace(0, len(data) - 1, SAMPLE).round().astype(int))
    with torch.random.fork_rng(devices=[]):  # what it draws here is not missing in the training
        first, second = (_hash_of(data.tensor(rows)) for _ in range(2))
    return first if first == second else ""


def _hash_of(batch: Any) -> str:
    images = batch if isinstance(batch, Tensor) else batch[0]
    content = images.detach().cpu().float().contiguous().numpy()
    return hashlib.blake2b(content, digest_size=6).hexdigest()


class _Order(Sampler):
    """Each batch's images (B,), which of them to mirror (B,), and the epoch; without end.

    Each epoch has its own generator, so that any step's batch can be found without those before it.
    A process takes every n-th image of the batch: together they take what one alone would.
    """

    def __init__(self, images: int, together: int, seed: int, first: int, accelerator: Accelerator):
        self.images, self.together, self.seed, self.first = images, together, seed, first
        self.mine = slice(accelerator.process_index, None, accelerator.num_processes)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        per_epoch = self.images // self.together  # the few left over come another time
        epoch, position = divmod(self.first, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
            order = torch.randperm(self.images, generator=generator)
            mirrored = torch.rand(self.images, generator=generator) < 0.5
            for i in range(position, per_epoch):
                indices = order[i * self.together : (i + 1) * self.together][self.mine]
                yield indices, mirrored[indices], epoch
            epoch, position = epoch + 1, 0


class _Fetching(Dataset):
    """Whole batches as the items of a data set, so that a DataLoader's workers can fetch them."""

    def __init__(self, data: Data):
        self.data = data

    def __getitem__(self, wanted: tuple[Tensor, Tensor, int]) -> tuple[Any, Tensor]:
        indices, mirrored, epoch = wanted
        data = self.data.in_epoch(epoch) if hasattr(self.data, "in_epoch") else self.data
        return data.tensor(indices.numpy()), mirrored


def _leave_signals_to_main(_worker: int) -> None:
    """Terminals, clusters and torchrun signal a whole group, and the last step needs its batch.

    A worker notices by itself when its main process is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
