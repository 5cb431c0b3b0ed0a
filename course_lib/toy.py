"""Lesson 1: a GAN in two dimensions, small enough to draw whole.

A "picture" here is a point of the plane, two numbers in place of 12,288. The forger, the appraiser
and their game are those of Goodfellow et al. 2014 (arXiv 1406.2661); only the networks are smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import settings
from course_lib.errors import CourseError

REACH = 1.5  # what is drawn: the square from -REACH to REACH in both directions
NOISE_SIZE = 2

# ---------------------------------------------------------------- distributions to be forged

Target = Callable[[int, torch.Generator], Tensor]


def ring(n: int, rng: torch.Generator) -> Tensor:
    """n points (n, 2) near the unit circle."""
    angle = 2 * math.pi * torch.rand(n, generator=rng)
    radius = 1 + 0.05 * torch.randn(n, generator=rng)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def line(n: int, rng: torch.Generator) -> Tensor:
    """n points (n, 2) near a slanted stroke through the middle."""
    along = 2 * torch.rand(n, generator=rng) - 1
    across = 0.05 * torch.randn(n, generator=rng)
    return torch.stack([along, 0.6 * along + across], dim=1)


def blobs(*centres: tuple[float, float], spread: float = 0.1) -> Target:
    """A distribution with one round heap of points at each centre, all equally likely."""
    middle = torch.tensor(centres)

    def sample(n: int, rng: torch.Generator) -> Tensor:
        which = torch.randint(len(middle), (n,), generator=rng)
        return middle[which] + spread * torch.randn(n, 2, generator=rng)

    return sample


def own_points(points, spread: float = 0.03) -> Target:
    """A distribution of your own: one of `points` (N, 2) at random, moved by a hair.

    Raises CourseError where `points` is no list of finite pairs inside the drawn square.
    """
    middle = torch.as_tensor(points, dtype=torch.float32)
    if middle.ndim != 2 or middle.shape[1] != 2 or len(middle) == 0:
        raise CourseError(
            f"points has the shape {tuple(middle.shape)}; give one (x, y) pair a row, shape (N, 2)."
        )
    if not middle.isfinite().all():
        raise CourseError("Some points are NaN or infinite: leave them out.")
    if middle.abs().max() > REACH:
        raise CourseError(
            f"Some points lie outside the square from -{REACH} to {REACH}: subtract their mean, "
            "then divide by the largest absolute value."
        )
    return blobs(*map(tuple, middle.tolist()), spread=spread)


TARGETS: dict[str, Target] = {
    "ring": ring,
    "line": line,
    "two blobs": blobs((-0.8, 0.0), (0.8, 0.0)),
    "three blobs": blobs((-0.9, -0.5), (0.9, -0.5), (0.0, 0.9)),
}

# ---------------------------------------------------------------- the two players


class Generator(nn.Module):
    """The forger. noise (B, 2) -> points (B, 2)."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(NOISE_SIZE, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 2),
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.main(noise)


class Discriminator(nn.Module):
    """The appraiser. points (B, 2) -> scores (B,); sigmoid(score) is the probability of "real"."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(2, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, points: Tensor) -> Tensor:
        return self.main(points).squeeze(-1)


# ---------------------------------------------------------------- what each player wants


@dataclass(frozen=True)
class Loss:
    """A rule of the game. Each function takes D's scores (B,) and returns a value a point (B,)."""

    on_real: Callable[[Tensor], Tensor]  # D's loss on a real point
    on_fake: Callable[[Tensor], Tensor]  # D's loss on a forgery
    generator: Callable[[Tensor], Tensor]  # G's loss on a forgery
    source: str
    belief: Callable[[Tensor], Tensor] = torch.sigmoid  # from 0, "forged", to 1, "real"


# F.softplus(s) = log(1 + exp(s)). With D(x) = sigmoid(s) it is what the papers write as
#     -log D(x) = softplus(-s)    and    -log(1 - D(x)) = softplus(s),
# and it stays finite where the logarithm of a rounded 0 would not.
LOSSES: dict[str, Loss] = {
    "non-saturating": Loss(
        on_real=lambda score: F.softplus(-score),  # -log D(x)
        on_fake=lambda score: F.softplus(score),  # -log(1 - D(G(z)))
        generator=lambda score: F.softplus(-score),  # -log D(G(z))
        source="Goodfellow et al. 2014, section 3 (arXiv 1406.2661)",
    ),
    "minimax": Loss(
        on_real=lambda score: F.softplus(-score),
        on_fake=lambda score: F.softplus(score),
        generator=lambda score: -F.softplus(score),  # log(1 - D(G(z)))
        source="Goodfellow et al. 2014, equation 1 (arXiv 1406.2661)",
    ),
    "least squares": Loss(  # without the factor ½ that Mao et al. write before each square
        on_real=lambda score: (score - 1) ** 2,
        on_fake=lambda score: score**2,
        generator=lambda score: (score - 1) ** 2,
        source="Mao et al. 2017, equation 9 (arXiv 1611.04076)",
        belief=lambda score: score.clamp(0, 1),
    ),
    "hinge": Loss(
        on_real=lambda score: F.relu(1 - score),
        on_fake=lambda score: F.relu(1 + score),
        generator=lambda score: -score,
        source="Lim and Ye 2017 (arXiv 1705.02894)",
    ),
}

OPTIMISERS = {
    # Adam's first beta is 0.5, as in DCGAN (Radford et al. 2015, arXiv 1511.06434, section 4).
    "Adam": lambda weights, lr: torch.optim.Adam(weights, lr, betas=(0.5, 0.999), fused=True),
    "SGD": lambda weights, lr: torch.optim.SGD(weights, lr, fused=True),
}
DEFAULT_RATES = {"Adam": (3e-3, 1e-3), "SGD": (0.3, 0.1)}  # (D's, G's)

# ---------------------------------------------------------------- the game


class ToyGAN:
    """Forger and appraiser, their data, and their turns.

    target: a name in TARGETS, points (N, 2), or a function (n, rng) -> (n, 2).
    loss, optimiser: names in LOSSES, OPTIMISERS. lr_d, lr_g: learning rates; None takes the
    optimiser's in DEFAULT_RATES. steps_d, steps_g: turns a round. The same seed, the same game.
    """

    def __init__(
        self,
        target="ring",
        *,
        loss: str = "non-saturating",
        optimiser: str = "Adam",
        lr_d: float | None = None,
        lr_g: float | None = None,
        steps_d: int = 1,
        steps_g: int = 1,
        batch_size: int = 128,
        seed: int = 0,
    ):
        self.batch_size = batch_size
        self.rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):  # leaves your own random numbers alone
            torch.manual_seed(seed)
            self.generator = Generator()
            self.discriminator = Discriminator()
        self.set_target(target)
        self.fixed_noise = torch.randn(200, NOISE_SIZE, generator=self.rng)
        self.rounds = 0
        self.history = {"loss_D": [], "loss_G": [], "D_real": [], "D_fake": []}
        self.latest = dict.fromkeys(self.history, math.nan)
        self.configure(
            loss=loss, optimiser=optimiser, lr_d=lr_d, lr_g=lr_g, steps_d=steps_d, steps_g=steps_g
        )

    def set_target(self, target) -> None:
        """Change what is to be forged; both players keep what they know."""
        if isinstance(target, str):
            target = TARGETS[_known("target", target, TARGETS)]
        self.target: Target = target if callable(target) else own_points(target)
        self.fixed_real = self.target(200, torch.Generator().manual_seed(0))

    def configure(
        self, *, loss=None, optimiser=None, lr_d=None, lr_g=None, steps_d=None, steps_g=None
    ) -> None:
        """Change the rules in the middle of the game; None leaves a rule as it is.

        A new optimiser starts without memory and with its own learning rates.
        """
        if loss is not None:
            self.loss_name = _known("loss", loss, LOSSES)
            self.loss = LOSSES[loss]
        if optimiser is not None:
            make = OPTIMISERS[_known("optimiser", optimiser, OPTIMISERS)]
            rate_d, rate_g = DEFAULT_RATES[optimiser]
            self.optimiser_d = make(self.discriminator.parameters(), rate_d)
            self.optimiser_g = make(self.generator.parameters(), rate_g)
        for rate, player in ((lr_d, self.optimiser_d), (lr_g, self.optimiser_g)):
            if rate is not None:
                player.param_groups[0]["lr"] = _positive("learning rate", rate)
        if steps_d is not None:
            self.steps_d = _positive("steps_d", steps_d)
        if steps_g is not None:
            self.steps_g = _positive("steps_g", steps_g)

    def sample_real(self, n: int) -> Tensor:
        """n fresh real points (n, 2)."""
        return self.target(n, self.rng)

    def sample_fake(self, n: int) -> Tensor:
        """n fresh forgeries (n, 2); gradients flow through them into G."""
        return self.generator(torch.randn(n, NOISE_SIZE, generator=self.rng))

    @torch.no_grad()
    def clouds(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n real points and n forgeries (n, 2) by another chance than the game's own."""
        real = self.target(n, rng)
        return real, self.generator(torch.randn(n, NOISE_SIZE, generator=rng))

    def step_discriminator(self) -> float:
        """D's turn: lower its loss on a batch of real points and a batch of forgeries.

        The forgeries are detached: the gradient stops there, which saves the way back through G,
        and would keep their graph if G's turn used the same ones. Who learns is another matter:
        the player whose optimiser steps.
        """
        real_scores = self.discriminator(self.sample_real(self.batch_size))
        fake_scores = self.discriminator(self.sample_fake(self.batch_size).detach())
        loss = self.loss.on_real(real_scores).mean() + self.loss.on_fake(fake_scores).mean()

        self.optimiser_d.zero_grad()
        loss.backward()
        self.optimiser_d.step()
        self.latest["loss_D"] = loss.item()
        self.latest["D_real"] = self.loss.belief(real_scores.detach()).mean().item()
        self.latest["D_fake"] = self.loss.belief(fake_scores.detach()).mean().item()
        return loss.item()

    def step_generator(self) -> float:
        """G's turn: move the forgeries to where D, which stands still, takes them for real."""
        scores = self.discriminator(self.sample_fake(self.batch_size))
        loss = self.loss.generator(scores).mean()

        self.optimiser_g.zero_grad()
        loss.backward()  # through D into G; only G's optimiser steps
        self.optimiser_g.step()
        self.latest["loss_G"] = loss.item()
        return loss.item()

    @settings.one_thread()
    def step(self, rounds: int = 1) -> ToyGAN:
        """Whole rounds: steps_d turns of D, then steps_g turns of G."""
        for _ in range(rounds):
            for _ in range(self.steps_d):
                self.step_discriminator()
            for _ in range(self.steps_g):
                self.step_generator()
            self.record()
        return self

    def record(self) -> None:
        """Close a round: note the latest losses and D's mean beliefs in `history`."""
        self.rounds += 1
        for name, value in self.latest.items():
            self.history[name].append(value)

    # -- what there is to see

    def scene(self, resolution: int = 48) -> Scene:
        """Everything that can be drawn of this moment. Changes nothing in the game."""
        with torch.no_grad():
            middles = REACH * ((2 * torch.arange(resolution) + 1) / resolution - 1)
            y, x = torch.meshgrid(middles.flip(0), middles, indexing="ij")
            heat = self.loss.belief(self.discriminator(torch.stack([x, y], dim=2).view(-1, 2)))
            fake = self.generator(self.fixed_noise)
            grid = self.generator(NOISE_GRID)
        return Scene(
            real=self.fixed_real,
            fake=fake,
            pull=self.pull(fake),
            belief=heat.view(resolution, resolution),
            grid=grid,
        )

    def pull(self, fake: Tensor) -> Tensor:
        """Where D draws each forgery (N, 2): minus the gradient of G's loss there (N, 2)."""
        points = fake.detach().requires_grad_()
        loss = self.loss.generator(self.discriminator(points)).sum()
        return -torch.autograd.grad(loss, points)[0]


@dataclass(frozen=True)
class Scene:
    """One moment of the game, ready to draw."""

    real: Tensor  # (200, 2), always the same points
    fake: Tensor  # (200, 2), always of the same noise, so a forgery keeps its identity
    pull: Tensor  # (200, 2), the direction that lowers G's loss
    belief: Tensor  # (R, R) in 0…1, D's belief on a lattice; row 0 is the top of the plane
    grid: Tensor  # (lines, points, 2), the lines of NOISE_GRID after G

    def outside(self, reach: float = REACH) -> int:
        """How many forgeries lie outside the drawn square; NaN is outside too."""
        return int((~(self.fake.abs() <= reach)).any(dim=1).sum())


def noise_grid(lines: int = 11, points: int = 41) -> Tensor:
    """A net over the noise plane (2 * lines, points, 2), with as much probability in each mesh.

    The lines stand at the Gaussian's quantiles, from 2 % to 98 %.
    """
    normal = torch.distributions.Normal(0.0, 1.0)
    at = normal.icdf(torch.linspace(0.02, 0.98, lines))[:, None].expand(lines, points)
    along = normal.icdf(torch.linspace(0.02, 0.98, points)).expand(lines, points)
    return torch.cat([torch.stack([at, along], dim=2), torch.stack([along, at], dim=2)])


NOISE_GRID = noise_grid()

# ---------------------------------------------------------------- how good is a forger?


@dataclass(frozen=True)
class Measures:
    """What `measure` found."""

    distance: float  # how far apart the two clouds are; see `distance`
    coverage: float  # share of real points with a forgery near by
    quality: float  # share of forgeries with a real point near by


def measure(gan: ToyGAN, n: int = 2000, radius: float = 0.15, seed: int = 1) -> Measures:
    """Compare n fresh forgeries with n fresh real points; "near by" is within `radius`.

    Has random numbers of its own: looking does not change the game.
    """
    real, fake = _clouds(gan, n, seed)
    near = torch.cdist(real, fake) < radius
    return Measures(
        distance=distance(real, fake),
        coverage=near.any(dim=1).float().mean().item(),
        quality=near.any(dim=0).float().mean().item(),
    )


def distance(a: Tensor, b: Tensor, directions: int = 32) -> float:
    """Sliced Wasserstein-1 distance between clouds a, b (N, 2) (Bonneel et al. 2015).

    Throw the shadows of both clouds on a line, pair the points in order, and average how far each
    has to go; then average over lines in all directions. Unit: that of the plane.
    """
    angle = math.pi * torch.arange(directions) / directions
    line = torch.stack([angle.cos(), angle.sin()])  # (2, directions)
    return ((a @ line).sort(dim=0).values - (b @ line).sort(dim=0).values).abs().mean().item()


def floor(target: Target, n: int = 2000, repeats: int = 5) -> float:
    """The distance that chance leaves between two clouds of n real points: a perfect forger's."""
    rng = torch.Generator().manual_seed(1)
    return sum(distance(target(n, rng), target(n, rng)) for _ in range(repeats)) / repeats


def accuracy(
    gan: ToyGAN, discriminator: nn.Module | None = None, n: int = 4000, seed: int = 2
) -> float:
    """How often gan's appraiser, or another, is right: n fresh real points, n fresh forgeries."""
    judge = discriminator or gan.discriminator
    belief = gan.loss.belief if discriminator is None else torch.sigmoid
    with torch.no_grad():
        real, fake = (belief(judge(points)) for points in _clouds(gan, n, seed))
    return ((real > 0.5).float().mean() + (fake <= 0.5).float().mean()).item() / 2


@settings.one_thread()
def fresh_appraiser(gan: ToyGAN, steps: int = 500, seed: int = 3) -> float:
    """Accuracy of a new appraiser that studies this one forger for `steps` steps; 0.5 is guessing.

    The classifier two-sample test of Lopez-Paz and Oquab 2017 (arXiv 1610.06545). G stands still.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Discriminator()
    _study(judge, gan, steps, seed)
    return accuracy(gan, judge)


def _study(judge: nn.Module, gan: ToyGAN, steps: int, seed: int) -> None:
    """Teach `judge` to tell gan's forgeries, which stay as good as they are, from real points."""
    rng = torch.Generator().manual_seed(seed)
    optimiser = OPTIMISERS["Adam"](judge.parameters(), 3e-3)
    for _ in range(steps):
        real, fake = gan.clouds(256, rng)
        loss = F.softplus(-judge(real)).mean() + F.softplus(judge(fake)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _clouds(gan: ToyGAN, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """n fresh real points and n fresh forgeries, (n, 2) each; the game's own chance stays."""
    return gan.clouds(n, torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- many games at once


class Games(ToyGAN):
    """The same game from several starts, played at once: hardly more work than a single one.

    One game is a lottery; what several have in common is a property of the rules. The players'
    first weights are those of `ToyGAN(seed=0)`, `ToyGAN(seed=1)`, …; the points differ.
    """

    def __init__(self, target="ring", *, games: int = 16, **rules):
        super().__init__(target, **rules)
        self.single = [ToyGAN(target, seed=seed, **rules) for seed in range(games)]
        self.generator.main = _stack([game.generator.main for game in self.single])
        self.discriminator.main = _stack([game.discriminator.main for game in self.single])
        rates = {"lr_d": rules.get("lr_d"), "lr_g": rules.get("lr_g")}
        self.configure(optimiser=rules.get("optimiser", "Adam"), **rates)  # of the new weights

    def sample_real(self, n: int) -> Tensor:
        """n fresh real points for each game (games, n, 2)."""
        return self.target(n * len(self.single), self.rng).view(-1, n, 2)

    def sample_fake(self, n: int) -> Tensor:
        """n fresh forgeries of each game (games, n, 2)."""
        return self.generator(torch.randn(len(self.single), n, NOISE_SIZE, generator=self.rng))

    @torch.no_grad()
    def clouds(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n real points and n forgeries of each game, (games, n, 2) each, by another chance."""
        games = len(self.single)
        real = self.target(n * games, rng).view(games, n, 2)
        return real, self.generator(torch.randn(games, n, NOISE_SIZE, generator=rng))

    def each(self) -> list[ToyGAN]:
        """The games as they stand, one by one, to be looked at and measured."""
        _unstack(self.generator.main, [game.generator.main for game in self.single])
        _unstack(self.discriminator.main, [game.discriminator.main for game in self.single])
        return self.single

    @settings.one_thread()
    def fresh_appraisers(self, steps: int = 500, seed: int = 3) -> list[float]:
        """Accuracy of a new appraiser for each game; see `fresh_appraiser`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            judges = [Discriminator() for _ in self.single]
        together = Discriminator()
        together.main = _stack([judge.main for judge in judges])
        _study(together, self, steps, seed)
        _unstack(together.main, [judge.main for judge in judges])
        return [accuracy(game, judge) for game, judge in zip(self.each(), judges, strict=True)]


class _Stacked(nn.Module):
    """The same linear layer of several games, as one: (games, n, inputs) -> (games, n, outputs)."""

    def __init__(self, layers: tuple[nn.Linear, ...]):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))
        for parameter in self.parameters():  # a game's loss is the mean over *its* points
            parameter.register_hook(lambda gradient: gradient * len(layers))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


def _stack(networks: list[nn.Sequential]) -> nn.Sequential:
    """Networks of the same layers as one that computes them all."""
    layers = zip(*networks, strict=True)
    return nn.Sequential(
        *(_Stacked(same) if isinstance(same[0], nn.Linear) else same[0] for same in layers)
    )


@torch.no_grad()
def _unstack(together: nn.Sequential, networks: list[nn.Sequential]) -> None:
    """Copy the weights of `_stack(networks)` back into the networks."""
    for i, network in enumerate(networks):
        for own, stacked in zip(network, together, strict=True):
            if isinstance(own, nn.Linear):
                own.weight.copy_(stacked.weight[i].T)
                own.bias.copy_(stacked.bias[i, 0])


def _known(what: str, name: str, table: dict) -> str:
    if name not in table:
        raise CourseError(f"There is no {what} called {name!r}; known: {', '.join(table)}.")
    return name


def _positive(what: str, value):
    if isinstance(value, str) or not value > 0:
        raise CourseError(f"{what} is {value!r}; it must be a number greater than 0.")
    return value
