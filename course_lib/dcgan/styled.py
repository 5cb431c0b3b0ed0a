"""Two other networks for the same game: a painter with a style, an appraiser that compares halves.

What lesson 3 still finds wrong in the article's faces has its reasons in the networks. These differ
in four places, each marked in the code; loop, losses and recipe are the same.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.dcgan.players import NOISE_SIZE, initialise_weights, middle_layers
from course_lib.errors import CourseError

STYLE_SIZE = 128


class Styled(nn.Module):
    """BatchNorm that reads its scales and shifts off a style, and then ReLU.

    x (B, C, H, W) and style (B, STYLE_SIZE) → (B, C, H, W). As in BigGAN (Brock et al. 2018, arXiv
    1809.11096, appendix B); there the style is a part of the noise and the class.
    """

    def __init__(self, maps: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(maps, affine=False)
        self.says = nn.Linear(STYLE_SIZE, 2 * maps)
        nn.init.normal_(self.says.weight, 0.0, 0.02)
        nn.init.zeros_(self.says.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.says(style)[:, :, None, None].chunk(2, 1)
        return F.relu(self.norm(x) * (1 + scale) + shift)


class StyledGenerator(nn.Module):
    """The forger: noise in, picture out, as `Generator`, with three changes.

    1. Style (Karras et al. 2018, arXiv 1812.04948): two layers make a style of the noise, and every
       layer hears it. "Green eyes" can be said once, to all places.
    2. Even stamps: a transposed convolution of kernel 3 and stride 2 makes four kinds of pixel,
       and each 2×2 holds one of each, so that its mean is the same everywhere in a flat area.
    3. The last layer looks at one pixel at a time: a colour is what the maps say there.

    Input: noise (B, noise_size) or (B, noise_size, 1, 1). Output: images (B, channels, S, S) in
    [-1, 1]. `width` and `image_size` as `Generator`'s; at full side there are width / 2 maps.
    """

    def __init__(
        self, noise_size: int = NOISE_SIZE, width: int = 64, channels: int = 3, image_size: int = 64
    ):
        super().__init__()
        doublings = middle_layers(image_size, width) + 1
        if width < 2:
            raise CourseError(f"width is {width}; choose 2 or more feature maps, such as 32")
        self.noise_size = noise_size
        maps = [width * 2**i // 2 for i in range(doublings, -1, -1)]  # 256, …, 16 at width 32
        self.style = nn.Sequential(
            nn.Linear(noise_size, STYLE_SIZE),
            nn.LeakyReLU(0.2),
            nn.Linear(STYLE_SIZE, STYLE_SIZE),
            nn.LeakyReLU(0.2),
        )
        self.start = nn.ConvTranspose2d(noise_size, maps[0], 4, bias=False)  # 1×1 → 4×4
        self.enlarge = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 3, stride=2, bias=False),  # S → 2S + 1
                nn.AvgPool2d(2, stride=1),  # → 2S
            )
            for inputs, outputs in pairwise(maps)
        )
        self.styled = nn.ModuleList(Styled(each) for each in maps)
        self.colour = nn.Conv2d(maps[-1], channels, 1)
        for layer in (self.start, *(pair[0] for pair in self.enlarge), self.colour):
            initialise_weights(layer)

    def forward(self, noise: Tensor) -> Tensor:
        size = self.noise_size
        if noise.shape[1:] not in [(size,), (size, 1, 1)]:
            raise CourseError(
                f"noise is (B, {size}) or (B, {size}, 1, 1), not {tuple(noise.shape)}"
            )
        noise = noise.flatten(1)
        style = self.style(F.normalize(noise) * size**0.5)  # all noises of one length
        x = self.styled[0](self.start(noise[:, :, None, None]), style)
        for enlarge, styled in zip(self.enlarge, self.styled[1:], strict=True):
            x = styled(enlarge(x), style)  # twice the side, half the maps
        return torch.tanh(self.colour(x))


class ComparingDiscriminator(nn.Module):
    """The appraiser: `Discriminator` without BatchNorm, and with a mirror. Returns scores (B,).

    4. Where the side is a quarter, every place is shown its mirror image, too, so that the layers
       behind can ask whether left and right belong together: one filter sees both eyes.

    Images (B, channels, S, S) in [-1, 1]; S and `width` as `Discriminator`'s.
    """

    def __init__(self, width: int = 64, channels: int = 3, image_size: int = 64, leak: float = 0.2):
        super().__init__()
        middle = middle_layers(image_size, width)
        self.image_shape = (channels, image_size, image_size)
        maps = [channels, *(width * 2**i for i in range(middle + 1))]

        def halving(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(leak)]

        self.near = nn.Sequential(*halving(maps[0], maps[1]), *halving(maps[1], maps[2]))
        far = halving(2 * maps[2], maps[3])
        for inputs, outputs in pairwise(maps[3:]):
            far += halving(inputs, outputs)
        self.far = nn.Sequential(*far, nn.Conv2d(maps[-1], 1, 4))

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.image_shape:
            raise CourseError(f"an image is {self.image_shape} here, not {tuple(images.shape[1:])}")
        x = self.near(images)  # (B, 2W, S/4, S/4)
        return self.far(torch.cat([x, x.flip(3)], 1)).flatten()
