"""Where a training runs, how precisely, in how many processes, and with which random numbers."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from course_lib import settings
from course_lib.errors import CourseError

SMALL = 500_000  # weights of all networks together; see `few_threads`
PARTS_OF_A_STEP = ("getting the batch", "the step", "averaging")  # as the profiler names them
PURPOSES = ("weights", "film", "noise", "order", "statistics", "penalty", "partners")


def make_accelerator(precision: str | None = None) -> Accelerator:
    """One process or many, CPU or GPU, half or full precision: `accelerate` knows which it is.

    precision: "no" (32 bits), "bf16", "fp16", or "auto": `fast_precision()`. None follows
    `accelerate launch`, else 32 bits. The device is `settings.device()`, with several GPUs each
    process's own. In one process the newest accelerator decides for all: run one training before
    you build the next. CourseError when this machine has fewer GPUs than processes, or when
    `accelerate config` was told to cut the networks into pieces.
    """
    if precision not in (None, "auto", "no", "bf16", "fp16"):
        raise CourseError(
            f'precision {precision!r} is unknown; choose "auto", "no", "bf16" or "fp16"'
        )
    if precision == "auto":
        precision = fast_precision()
    wanted = settings.device()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if wanted.type == "cuda" and here > torch.cuda.device_count():
        raise CourseError(
            f"{here} processes and {torch.cuda.device_count()} GPU on this machine: start one "
            "process a GPU, or set COURSE_DEVICE=cpu"
        )
    if wanted.type == "cuda" and wanted.index is not None and here == 1:
        torch.cuda.set_device(wanted)  # accelerate takes the current one
    for engine in ("DEEPSPEED", "FSDP", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() in ("1", "true"):
            raise CourseError(
                f"{engine} cuts the networks into pieces, which the course's checkpoints do not "
                "know. Its networks fit on one GPU: run `accelerate config` again and say no to it"
            )
    # A second training in the same notebook may choose anew. accelerate remembers the precision in
    # one place and the device in another; with several processes the device is each one's for good.
    AcceleratorState._reset_state(reset_partial_state=os.environ.get("WORLD_SIZE", "1") == "1")
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


@contextmanager
def few_threads(networks: Iterable[nn.Module], accelerator: Accelerator) -> Iterator[None]:
    """Small networks on one thread of a CPU, others on as many as they had."""
    weights = sum(p.numel() for network in networks for p in network.parameters())
    small = accelerator.device.type == "cpu" and weights < SMALL
    with settings.one_thread() if small else nullcontext():
        yield


def derive(seed: int, purpose: str, *numbers: int) -> int:
    """The seed of one purpose of a training (one of `PURPOSES`), from the seed of all.

    numbers: of the process, of the epoch. NumPy's SeedSequence makes of equal numbers equal seeds
    and of different ones independent streams; CourseError for a seed below 0, which it does not
    take.
    """
    if seed < 0:
        raise CourseError(f"seed is {seed}; choose 0 or more")
    sequence = np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *numbers))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)  # torch's seeds have a sign


def noise_as_it_was(accelerator: Accelerator) -> AbstractContextManager:
    """Whatever random numbers are drawn within, afterwards they are as before."""
    cards = [torch.cuda.current_device()] if accelerator.device.type == "cuda" else []
    return torch.random.fork_rng(devices=cards)


def agree(stop: int, seconds: float, accelerator: Accelerator) -> tuple[int, float]:
    """The gravest reason to stop that any process has, and the main process's time.

    All must stop after the same step, and turn their learning rates by the same clock: otherwise
    one would wait for the others' gradients for ever, or their weights would drift apart.
    """
    if accelerator.num_processes == 1:
        return stop, seconds
    mine = torch.tensor([[float(stop), seconds]], device=accelerator.device)
    everyone = accelerator.gather(mine)
    return int(everyone[:, 0].max()), float(everyone[0, 1])


def leave(accelerator: Accelerator, status: int = 0) -> None:
    """End in order. One of several processes ends here and now, with that exit status.

    They wait for each other: one that ends while another speaks to it would abort it. And they end
    without the interpreter's own tidying: a thread of Gloo that still holds a tensor then would
    abort a process whose work is done (pytorch/pytorch#179291).
    """
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if accelerator.num_processes > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def share(network: nn.Module, accelerator: Accelerator) -> None:
    """Give all processes the weights that the main process has."""
    if accelerator.num_processes == 1:
        return
    for value in network.state_dict().values():
        sent = value.contiguous()
        torch.distributed.broadcast(sent, src=0)
        value.copy_(sent)
