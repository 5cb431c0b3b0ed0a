"""The networks: two generators, which recolour, and two discriminators, which look at patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EDGE_MAPS = 32  # feature maps of the network that looks at edges
DEAD = 0.02  # of [-1, 1]: two and a half levels of 255


class Residual(nn.Module):
    """Two convolutions, of which the result is added to what came in (He et al. 2015)."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class Generator(nn.Module):
    """A picture of one domain into one of the other: picture + change.

    Zhu et al. 2017 (arXiv 1703.10593), appendix 7.2, made small: shrink, residual blocks, enlarge.
    It paints only what is to be added to the picture, and sees the picture once more before it
    does, so that what should stay as it is costs it nothing.
    Images (B, 3, S, S) in [-1, 1], S a multiple of 4, in and out.

    sharp: the last two layers look at one pixel at a time, at its own colour and at what the others
    have found out about its surroundings. So colour cannot leak over an edge, and a texture cannot
    be made of neighbours, either. And a change of less than `DEAD` is none (soft shrinkage): a tint
    that nobody sees costs next to nothing in any loss, but all that should stay would have it.
    """

    def __init__(self, width: int = 24, blocks: int = 3, *, sharp: bool = False):
        super().__init__()
        fine, self.sharp = width // 4, sharp
        maps, kernel = (32, 1) if sharp else (2 * fine, 3)
        self.shrink = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
        )
        self.blocks = nn.Sequential(*[Residual(width) for _ in range(blocks)])
        self.enlarge = nn.Sequential(nn.Conv2d(width, 16 * fine, 3, padding=1), nn.PixelShuffle(4))
        self.look_again = nn.Conv2d(3 + fine, maps, kernel, padding="same")
        self.change = nn.Conv2d(maps, 3, kernel, padding="same")

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.shrink(images)))  # (B, W, S/4, S/4)
        x = torch.cat([images, F.relu(self.enlarge(x))], 1)  # (B, 3 + W/4, S, S)
        change = self.change(F.relu(self.look_again(x)))  # (B, 3, S, S)
        if self.sharp:
            change = F.softshrink(change, DEAD)
        return (images + change).clamp(-1, 1)


def _close() -> nn.Sequential:
    """Scores of patches of seven pixels, at full side."""
    layers: list[nn.Module] = []
    for maps in (3, EDGE_MAPS, EDGE_MAPS):
        layers += [nn.Conv2d(maps, EDGE_MAPS, 3, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(EDGE_MAPS, 1, 1))


class Discriminator(nn.Module):
    """PatchGAN (Isola et al. 2016, arXiv 1611.07004): a score for every patch of 22 pixels.

    Nothing in it sees the whole face, and nothing has to: a colour is where it is.
    Images (B, 3, S, S) → a tuple of scores, near 1 for "real", near 0 for "painted": one map of
    them, (B, S/4 - 1, S/4 - 1).

    sharp: one more layer, before the picture shrinks, patches of 24 pixels, and twice the maps in
    the layer after it; and a second, smaller network, which never shrinks the picture and gives a
    second map, (B, S, S), a score for every patch of 7 pixels (Wang et al. 2017, arXiv 1711.11585,
    judge at several scales, too). Without them a shade in the pixel beside an edge passes unseen.
    """

    def __init__(self, width: int = 24, *, sharp: bool = False):
        super().__init__()
        fine, coarse = (width, 2 * width) if sharp else (3, width)
        first = [nn.Conv2d(3, fine, 3, padding=1), nn.LeakyReLU(0.2)] if sharp else []
        far = nn.Sequential(
            *first,
            nn.Conv2d(fine, coarse, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(coarse, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 4, padding=1),
        )
        self.scales = nn.ModuleList([far, *([_close()] if sharp else [])])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(network(images)[:, 0] for network in self.scales)


class Translators(nn.Module):
    """Both ways: `there` makes pictures of the first domain into the second, `back` the reverse."""

    def __init__(self, width: int = 24, blocks: int = 3, *, sharp: bool = False):
        super().__init__()
        self.there = Generator(width, blocks, sharp=sharp)
        self.back = Generator(width, blocks, sharp=sharp)
