"""What a generator writes into its picture for the other one: Chu et al. 2017, arXiv 1712.02950."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from course_lib import judge
from course_lib.cyclegan.domains import HAIR
from course_lib.cyclegan.learning import translate
from course_lib.cyclegan.measuring import LEVELS


def disturb(images: Tensor, levels: float, seed: int = 0) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] with Gaussian noise of so many levels of 255."""
    chance = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=chance)
    return (images + noise * levels / LEVELS).clamp(-1, 1)


def ways_back(
    back: nn.Module, middles: Tensor, originals: Tensor, noises: Iterable[float]
) -> list[float]:
    """How far from the originals it comes back, by how much noise there is on the middle pictures.

    middles, originals: (B, 3, S, S) in [-1, 1]. noises: levels of 255. Mean absolute errors, in
    levels of 255.
    """
    returned = (translate(back, disturb(middles, levels)) for levels in noises)
    return [((images - originals).abs().mean() * LEVELS).item() for images in returned]


def remembered(
    back: nn.Module, middles: Tensor, colours: Sequence[str], noises: Iterable[float]
) -> list[float]:
    """The share of faces whose hair comes back in its own colour, by how much noise there is.

    middles: (B, 3, 64, 64) in [-1, 1]. colours: B, of the originals' hair. noises: levels of 255.
    The judge reads the hair; if nothing is remembered, guessing among n colours is right in 1 of n.
    """
    shares = []
    for levels in noises:
        seen = judge.read(translate(back, disturb(middles, levels)).clamp(-1, 1)).names
        right = [names[HAIR] == colour for names, colour in zip(seen, colours, strict=True)]
        shares.append(sum(right) / len(right))
    return shares


def magnified(images: Tensor, plain: Tensor, factor: float = 8.0) -> Tensor:
    """What images have that plain ones lack, so many times as strong, on grey; (B, 3, S, S)."""
    return ((images - plain) * factor).clamp(-1, 1)
