"""The two networks, each with a second input: the thought vector of a sentence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import dcgan
from course_lib.errors import CourseError

NOISE_SIZE = dcgan.NOISE_SIZE
THOUGHT_SIZE = 128  # numbers of a thought vector


class Generator(nn.Module):
    """The painter: noise and thought in, picture out.

    Input: noise (B, noise_size) and thoughts (B, thought_size). Output: (B, 3, S, S) in [-1, 1].
    The layers are `dcgan.Generator`'s, with noise and thought side by side as their input. (To read
    BatchNorm's scales and shifts off them too, as Miyato & Koyama 2018, arXiv 1802.05637, do, lays
    a grid over the faces here, and obeys no better: see `benchmarks/README.md`.)
    """

    def __init__(
        self,
        noise_size: int = NOISE_SIZE,
        thought_size: int = THOUGHT_SIZE,
        width: int = 32,
        image_size: int = 64,
    ):
        super().__init__()
        self.noise_size, self.thought_size = noise_size, thought_size
        self.main = dcgan.Generator(noise_size + thought_size, width, image_size=image_size).main

    def forward(self, noise: Tensor, thoughts: Tensor) -> Tensor:
        if noise.shape[1:] != (self.noise_size,) or thoughts.shape[1:] != (self.thought_size,):
            raise CourseError(
                f"noise is (B, {self.noise_size}) and thoughts are (B, {self.thought_size}), not "
                f"{tuple(noise.shape)} and {tuple(thoughts.shape)}"
            )
        return self.main(torch.cat([noise, even(thoughts)], 1)[:, :, None, None])


class Discriminator(nn.Module):
    """The appraiser: how real is the image, and how well does it fit the thought?

    `see` makes features of images, once; `judge` scores pairs of features and thoughts: a number
    for the image alone, and an inner product of features and thought (the projection of Miyato &
    Koyama 2018). Scores are logits. With `sees_words=False` only the first.
    """

    def __init__(
        self,
        thought_size: int = THOUGHT_SIZE,
        width: int = 32,
        image_size: int = 64,
        features: int = 256,
        sees_words: bool = True,
    ):
        super().__init__()
        layers = dcgan.Discriminator(width, image_size=image_size, normalization="none").main[:-2]
        maps = layers[-2].out_channels
        last = nn.Linear(maps * 4 * 4, features)
        nn.init.normal_(last.weight, 0.0, 0.02)  # as the convolutions before it
        self.main = nn.Sequential(*layers, nn.Flatten(), last, nn.LeakyReLU(0.2))
        self.real = nn.Linear(features, 1)
        self.fit = nn.Linear(thought_size, features) if sees_words else None

    def see(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → features (B, F)."""
        return self.main(images)

    def match(self, features: Tensor, thoughts: Tensor) -> Tensor:
        """How well all pairs fit: features (B, F), thoughts (T, N) → (B, T)."""
        if self.fit is None:
            return features.new_zeros(len(features), len(thoughts))
        return features @ self.fit(even(thoughts)).T / features.shape[1] ** 0.5

    def judge(self, features: Tensor, thoughts: Tensor) -> Tensor:
        """Scores of all pairs, (B, T)."""
        return self.real(features) + self.match(features, thoughts)

    def forward(self, images: Tensor, thoughts: Tensor) -> Tensor:
        """Scores (B,) of each image with its own thought."""
        features = self.see(images)
        score = self.real(features)[:, 0]
        if self.fit is None:
            return score
        return score + (features * self.fit(even(thoughts))).sum(1) / features.shape[1] ** 0.5


def even(thoughts: Tensor) -> Tensor:
    """Thoughts (B, N) of one length: what they say is in their direction."""
    return F.normalize(thoughts, dim=1) * thoughts.shape[1] ** 0.5
