"""One step of four networks, the pool of earlier pictures, and the bound that knows the pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.cyclegan.players import Discriminator, Generator


def cycle_step(
    there: Generator,
    back: Generator,
    critic_a: Discriminator,
    critic_b: Discriminator,
    G_optimiser: torch.optim.Optimizer,
    D_optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    *,
    pools: tuple[Pool, Pool],
    adversarial: float = 1.0,
    cycle: float = 10.0,
    identity: float = 5.0,
    through: float = 1.0,
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> dict[str, Tensor]:
    """One step of both generators, then one of both discriminators (Zhu et al. 2017, section 3).

    batch: pictures of both domains, two times (B, 3, S, S) in [-1, 1]; picture i of one has nothing
    to do with picture i of the other. adversarial, cycle, identity: the weights of the losses of
    the generators. through: the part of the cycle's gradient that reaches the generator that went
    first, see `passing`; the paper has all of it.
    """
    a, b = batch
    fake_b, fake_a = there(a), back(b)

    critics = nn.ModuleList([critic_a, critic_b]).requires_grad_(False)
    G_optimiser.zero_grad()
    losses = {"loss_adversarial": real_enough(critic_a(fake_a)) + real_enough(critic_b(fake_b))}
    home_a, home_b = back(passing(fake_b, through)), there(passing(fake_a, through))
    losses["loss_cycle"] = F.l1_loss(home_a, a) + F.l1_loss(home_b, b)
    losses["loss_identity"] = F.l1_loss(there(b), b) + F.l1_loss(back(a), a)
    backward(
        adversarial * losses["loss_adversarial"]
        + cycle * losses["loss_cycle"]
        + identity * losses["loss_identity"]
    )
    G_optimiser.step()

    critics.requires_grad_(True)
    D_optimiser.zero_grad()
    losses["loss_D"] = sum(
        told_apart(critic(real), critic(pool(fake.detach())))
        for critic, real, pool, fake in zip(critics, batch, pools, (fake_a, fake_b), strict=True)
    )
    backward(losses["loss_D"])
    D_optimiser.step()
    return losses


def paired_step(
    there: Generator,
    back: Generator,
    G_optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    *,
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> dict[str, Tensor]:
    """What a CycleGAN has to do without: each generator is told how each picture should look.

    batch: as for `cycle_step`, but picture i of one *is* picture i of the other domain.
    """
    a, b = batch
    G_optimiser.zero_grad()
    loss = F.l1_loss(there(a), b) + F.l1_loss(back(b), a)
    backward(loss)
    G_optimiser.step()
    return {"loss_paired": loss}


def passing(images: Tensor, share: float) -> Tensor:
    """The same images; of the gradient that comes back through them, only a share goes on.

    The generator that made them is then asked less to make coming home easy; the one that leads
    home learns as before.
    """
    return images if share == 1 else share * images + (1 - share) * images.detach()


def real_enough(scores: Sequence[Tensor]) -> Tensor:
    """G's loss in LSGAN (Mao et al. 2016): how far the scores of its pictures are from 1.

    scores: a map for each scale at which D looks; of each the mean, summed.
    """
    return sum((some - 1).square().mean() for some in scores)


def told_apart(on_real: Sequence[Tensor], on_fakes: Sequence[Tensor]) -> Tensor:
    """D's loss in LSGAN (Mao et al. 2016, arXiv 1611.04076): real ones at 1, painted ones at 0."""
    return (real_enough(on_real) + sum(some.square().mean() for some in on_fakes)) / 2


class Pool(nn.Module):
    """Earlier pictures of a generator, so that its discriminator does not forget its old tricks.

    Shrivastava et al. 2017 (arXiv 1612.07828), section 2.3. A module, so that checkpoints keep it.
    """

    def __init__(self, size: int = 50, image_size: int = 64):
        super().__init__()
        self.register_buffer("pictures", torch.zeros(size, 3, image_size, image_size))
        self.register_buffer("known", torch.tensor(0))

    def forward(self, images: Tensor) -> Tensor:
        """As many pictures as came in, (B, 3, S, S): half of them, by lot, are older ones.

        In the place of each of those one of the new ones is kept. Until the pool is full, it keeps
        all new ones and gives them back.
        """
        given = images.clone()
        for i, image in enumerate(images):
            if self.known < len(self.pictures):
                self.pictures[self.known] = image
                self.known += 1
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(len(self.pictures), ()))
                given[i] = self.pictures[place]
                self.pictures[place] = image
        return given
