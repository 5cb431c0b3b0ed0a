"""What the long trainings of the lessons would take on Colab's T4, by count: there is none here.

    python benchmarks/operations.py

Of each, one step is run on the CPU and counted: multiplications with their additions (two
operations each, by `torch.utils.flop_counter`), and calls of PyTorch's functions. A T4 is said to
do 8.1 T operations a second in 32 bits. Small networks never come near that, so a fifth of it is
assumed; and that each call costs 15 µs, since Colab's CPU has to ask for each. Minutes are
reckoned from both, and the larger counts. Both figures are guesses, not measurements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from course_lib import conditional_gan, cyclegan, dcgan, faces, novelty, training
from course_lib import latent_diffusion as ld
from course_lib import stable_diffusion as sd

PEAK, SHARE = 8.1e12, 0.2  # operations a second; of them in small networks
A_CALL = 15e-6  # seconds
MOST = 5  # minutes
ROOMS = {"3": dcgan, "4": conditional_gan, "8": cyclegan}


class Counter(TorchDispatchMode):
    """Counts the functions that PyTorch calls, and what they multiply and add.

    `FlopCounterMode` has the same numbers, but hooks into modules, and so into `autograd.grad`,
    which refuses them; its formulas are used without it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        self.calls += 1
        self.operations += formula(*args, **(kwargs or {}), out_val=made) if formula else 0
        return made


@dataclass(frozen=True)
class Work:
    """operations and calls, of one step or of all."""

    operations: float
    calls: float

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.calls + other.calls)

    def __mul__(self, times: float) -> Work:
        return Work(self.operations * times, self.calls * times)

    @property
    def minutes(self) -> tuple[float, float]:
        """As far as operations, and as far as calls go."""
        return self.operations / (PEAK * SHARE) / 60, self.calls * A_CALL / 60


def a_step(plan: training.Training) -> Work:
    """The work of its next step."""
    found: list[Work] = []

    def counted(batch: Any) -> Mapping[str, Any]:
        with Counter() as counter:
            losses = plan.step(batch)
        found.append(Work(counter.operations, counter.calls))
        return losses

    replace(plan, step=counted, pictures=None, watch=None).fit(1, progress=False)
    return found[0]


def on_average(room: ModuleType, data: faces.Faces, recipe: Any, **sizes: Any) -> Work:
    """The work of a step of `room`: the penalty is part of a share of the steps only."""
    if not getattr(recipe, "penalty", 0):
        return a_step(room.build(data, recipe, **sizes))
    share = recipe.penalty_share
    always = a_step(room.build(data, replace(recipe, penalty_share=1.0), **sizes))
    never = a_step(room.build(data, replace(recipe, penalty=0.0), **sizes))
    return always * share + never * (1 - share)


def trainings() -> Iterator[tuple[str, int, int, Work]]:
    """Name, images, steps and work of a step of what a lesson trains with a GPU."""
    data = faces.load("train")
    for lesson, room in ROOMS.items():
        preset = room.PRESETS["full"]
        work = on_average(room, data, preset.recipe, **preset.sizes)
        name = f"{lesson}: {room.__name__.split('.')[-1]}"
        yield name, preset.images, -(-preset.images // preset.recipe.batch_size), work
    drawings = faces.render(16, seed=3, style="lorelei", cache=False)
    plan = sd.build_decoder_lora(sd.printed(drawings), ld.Painter())
    yield "6: LoRA of the decoder", 2_400, -(-2_400 // plan.together), a_step(plan)
    recipe = novelty.HalfRecipe(batch_size=16, average=0.98)
    plan = novelty.build(novelty.halves(16, seed=1)[0], recipe)
    yield "7: two painters", 2 * 60_000, 2 * -(-60_000 // 16), a_step(plan)


def table(rows: list[tuple[str, int, int, Work]]) -> str:
    lines = [
        "| lesson | images | steps | G operations a step | calls a step | min by operations "
        "| min by calls |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, images, steps, work in rows:
        minutes = " | ".join(f"{part:.1f}" for part in (work * steps).minutes)
        sizes = f"{images:,} | {steps:,} | {work.operations / 1e9:.1f} | {work.calls:,.0f}"
        lines.append(f"| {name} | {sizes} | {minutes} |")
    return "\n".join(lines)


def main() -> None:
    torch.manual_seed(0)
    rows = list(trainings())
    print(table(rows))
    slow = [name for name, _, steps, work in rows if max((work * steps).minutes) > MOST]
    print(f"\nmore than {MOST} minutes: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
