"""Diffusion in the plane: lesson 1's points, this time without a game."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import settings, toy
from course_lib.latent_diffusion import flow

WAVES = 4  # sines and cosines that tell the network the time


class Velocity(nn.Module):
    """Places (B, 2) and times (B,) in 0…1 → directions (B, 2).

    A quarter more weights than lesson 1's G and D have together.
    """

    def __init__(self, width: int = 48):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(2 + 2 * WAVES, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, places: Tensor, time: Tensor) -> Tensor:
        turns = time[:, None] * math.pi * 2.0 ** torch.arange(-1, WAVES - 1)
        return self.main(torch.cat([places, turns.sin(), turns.cos()], 1))


class PlaneFlow:
    """A painter of points that learns to walk from noise to data.

    target: a name in `toy.TARGETS`, points (N, 2), or a function (n, rng) → (n, 2). One network,
    one loss; the same seed, the same training.
    """

    def __init__(self, target="ring", *, rate: float = 3e-3, batch_size: int = 256, seed: int = 0):
        self.batch_size = batch_size
        self.rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):  # leaves your own random numbers alone
            torch.manual_seed(seed)
            self.network = Velocity()
        self.set_target(toy.ToyGAN(target).target)
        self.optimiser = torch.optim.Adam(self.network.parameters(), rate, fused=True)
        self.fixed_noise = torch.randn(200, 2, generator=self.rng)
        self.losses: list[float] = []

    def set_target(self, target: toy.Target) -> None:
        """From now on learn these points: (n, rng) → (n, 2)."""
        self.target = target
        self.fixed_real = target(200, torch.Generator().manual_seed(0))

    @settings.one_thread()  # more would only get in each other's way
    def step(self, rounds: int = 1) -> PlaneFlow:
        """Flow matching, whole: pick data, noise and a time; ask for the way; compare."""
        for _ in range(rounds):
            data = self.target(self.batch_size, self.rng)
            noise = torch.randn(data.shape, generator=self.rng)
            time = torch.rand(len(data), generator=self.rng)
            answer = self.network(flow.add_noise(data, noise, time), time)
            loss = F.mse_loss(answer, flow.direction(data, noise))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.losses.append(loss.item())
        return self

    @settings.one_thread()
    def walk(self, noise: Tensor | None = None, steps: int = 20) -> list[Tensor]:
        """From noise (N, 2), `fixed_noise` by default, to points: all the places on the way."""
        noise = self.fixed_noise if noise is None else noise
        return flow.euler(self.network, noise, flow.times_of(steps))

    @torch.no_grad()
    def arrows(self, time: float, lines: int = 15) -> tuple[Tensor, Tensor]:
        """Places on a lattice (lines², 2), and which way each is sent at that time (lines², 2)."""
        along = torch.linspace(-toy.REACH, toy.REACH, lines)
        places = torch.cartesian_prod(along, along)
        return places, -self.network(places, torch.full((len(places),), time))
