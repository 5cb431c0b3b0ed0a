"""Lesson 3: one healthy training and three sick ones, small enough to be made in a minute each.

Faces of 32×32, networks of width 16, one change of the rules a case. What the lesson draws was
recorded by `python benchmarks/failures.py` and lies in `data/failures.json` and `.webp`.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from course_lib import dcgan, settings, training
from course_lib.errors import CourseError
from course_lib.pixels import cut_grid, to_uint8

SIZE, WIDTH, BATCH, IMAGES = 32, 16, 32, 48_000
FACES, MOMENTS = 4, (0.25, 1.0)  # what is painted, and after which parts of the training
KEPT = 2  # seeds of which curves and pictures are kept


@dataclass(frozen=True)
class Case:
    """The rules of one training."""

    words: str
    generator_rate: float = 5e-4  # Adam's
    discriminator_rate: float = 5e-4
    betas: tuple[float, float] = (0.0, 0.99)
    penalty: float = 1.0  # R1's weight
    generator_loss: str = "non-saturating"  # or "minimax"


HEALTHY = Case("both equally fast, D penalised (R1)")
CASES = {
    "healthy": HEALTHY,
    "mode collapse": Case("no penalty, D ten times as slow", 5e-4, 5e-5, penalty=0.0),
    "D wins": Case(
        "no penalty, D ten times as fast, the minimax loss",
        *(1e-4, 1e-3),
        penalty=0.0,
        generator_loss="minimax",
    ),
    "oscillation": Case(
        "no penalty, momentum 0.9, rates four times as large",
        *(2e-3, 2e-3, (0.9, 0.999)),
        penalty=0.0,
    ),
}

PATIENTS = {"A": "mode collapse", "B": "oscillation", "C": "healthy", "D": "D wins"}


@dataclass
class Record:
    """What happened in one training.

    curves: "loss_D", "loss_G", "D(x)", "D(G(z))", "gradient" (the length of G's) and "variety" (how
        far a pixel differs from fake to fake, as a share of what it does among real faces), one
        number a step, or means of so many.
    pictures: uint8 (moments, faces, 32, 32, 3), of the same noises after each part in `MOMENTS`.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    pictures: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, SIZE, SIZE, 3), np.uint8))


def train(case: Case, data: training.Data, *, images: int = IMAGES, seed: int = 0) -> Record:
    """Play the game by the case's rules until G has painted so many images.

    data: faces of 64×64, which are halved. The same seed, the same first networks in every case.
    """
    real_faces = F.avg_pool2d(data.tensor(range(len(data))), 2)
    spread = real_faces.std(0).mean()
    G, D = dcgan.networks(dcgan.R1, WIDTH, SIZE, seed)
    torch.manual_seed(training.derive(seed, "noise"))
    optimiser_G = torch.optim.Adam(G.parameters(), case.generator_rate, betas=case.betas)
    optimiser_D = torch.optim.Adam(D.parameters(), case.discriminator_rate, betas=case.betas)
    lottery = torch.Generator().manual_seed(seed)
    steps = images // BATCH
    moments = {max(1, round(part * steps)) for part in MOMENTS}
    rows, pictures = [], []
    for step in range(1, steps + 1):
        real = real_faces[torch.randint(len(real_faces), (BATCH,))]
        fakes = G(torch.randn(BATCH, dcgan.NOISE_SIZE))
        on_real, on_fakes = D(real), D(fakes.detach())
        loss_D = dcgan.bce_discriminator_loss(on_real, on_fakes)
        slope = torch.zeros(())
        if case.penalty and torch.rand((), generator=lottery) < 1 / 16:
            slope = 16 * case.penalty * dcgan.gradient_penalty(D, real)
        _learn(optimiser_D, loss_D + slope)
        judged = D(fakes)
        loss_G = _generator_loss(case, judged)
        _learn(optimiser_G, loss_G)
        gradient = torch.cat([weights.grad.flatten() for weights in G.parameters()]).norm()
        beliefs = [scores.detach().sigmoid().mean() for scores in (on_real, on_fakes)]
        variety = fakes.detach().std(0).mean() / spread
        rows.append([loss_D.detach(), loss_G.detach(), *beliefs, gradient, variety])
        if step in moments:
            pictures.append(_paint(G))
    numbers = np.array([[float(value) for value in row] for row in rows]).T.tolist()
    names = ("loss_D", "loss_G", "D(x)", "D(G(z))", "gradient", "variety")
    return Record(dict(zip(names, numbers, strict=True)), np.stack(pictures))


def load(seed: int = 0) -> dict[str, Record]:
    """The recorded cases by name, of seed 0 or 1; curves as means of 15 steps each.

    CourseError if nothing was kept of that seed.
    """
    if seed not in range(KEPT):
        raise CourseError(f"The curves of seeds 0 to {KEPT - 1} were kept, not those of {seed!r}.")
    strip = Image.open(settings.data_dir() / "failures.webp").convert("RGB")
    tiles = cut_grid(np.asarray(strip), SIZE).reshape(-1, KEPT, len(MOMENTS), FACES, SIZE, SIZE, 3)
    cases = _recorded().items()
    return {
        name: Record(case["curves"][seed], pictures[seed])
        for (name, case), pictures in zip(cases, tiles, strict=True)
    }


def patients() -> dict[str, Record]:
    """The cases of seed 1, under letters, for the exercise."""
    records = load(seed=1)
    return {letter: records[name] for letter, name in PATIENTS.items()}


def ends() -> dict[str, list[dict[str, float]]]:
    """Case → for each of its seeds, what the last tenth of the training measured, as means."""
    return {name: case["ends"] for name, case in _recorded().items()}


def _recorded() -> dict:
    path = settings.data_dir() / "failures.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"]


def _learn(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _generator_loss(case: Case, judged: Tensor) -> Tensor:
    """−log D(G(z)), or the theory's log(1 − D(G(z)))."""
    if case.generator_loss == "minimax":
        return -F.softplus(judged).mean()
    return dcgan.bce_generator_loss(judged)


@torch.no_grad()
def _paint(generator: torch.nn.Module) -> np.ndarray:
    """The first faces of 64 noises, always the same, by a copy in training mode."""
    noise = torch.randn(64, dcgan.NOISE_SIZE, generator=torch.Generator().manual_seed(5))
    return to_uint8(deepcopy(generator).train()(noise)[:FACES])
