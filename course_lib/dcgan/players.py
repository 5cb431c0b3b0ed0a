"""The networks of Radford et al. 2015 (arXiv 1511.06434): the generator, and its mirror image.

At 64 px and the default widths both are those of the official PyTorch tutorial, weight by weight:
the names in their state dict (`main.0.weight`, `main.1.weight`, …) are the same.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from course_lib.errors import CourseError

# image size → how many doublings lie between the first layer (1×1 → 4×4) and the last (→ image)
MIDDLE_LAYERS = {32: 2, 64: 3, 128: 4}
NOISE_SIZE = 100  # the article's nz
NORMALIZATIONS = ("batch", "spectral", "none")


class Generator(nn.Module):
    """The forger: noise in, picture out.

    Input: noise (B, noise_size) or (B, noise_size, 1, 1).
    Output: images (B, channels, S, S) in [-1, 1].
    `width` is the number of maps before the last layer (the article's ngf); `image_size` S is
    32, 64 or 128.
    """

    def __init__(
        self, noise_size: int = 100, width: int = 64, channels: int = 3, image_size: int = 64
    ):
        super().__init__()
        middle = middle_layers(image_size, width)
        self.noise_size = noise_size
        maps = width * 2**middle  # 512 at 64 px

        layers = [  # 1×1 → 4×4
            nn.ConvTranspose2d(noise_size, maps, kernel_size=4, stride=1, padding=0, bias=False),
            nn.BatchNorm2d(maps),
            nn.ReLU(),
        ]
        for _ in range(middle):  # 4×4 → 8×8 → 16×16 → 32×32: twice the side, half the maps
            layers += [
                nn.ConvTranspose2d(maps, maps // 2, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(maps // 2),
                nn.ReLU(),
            ]
            maps //= 2
        layers += [  # 32×32 → 64×64, in colour
            nn.ConvTranspose2d(maps, channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        ]
        self.main = nn.Sequential(*layers)

    def forward(self, noise: Tensor) -> Tensor:
        size = self.noise_size
        if noise.shape[1:] not in [(size,), (size, 1, 1)]:
            raise CourseError(
                f"noise is (B, {size}) or (B, {size}, 1, 1), not {tuple(noise.shape)}"
            )
        return self.main(noise.reshape(-1, size, 1, 1))


class Discriminator(nn.Module):
    """The appraiser: picture in, one number out. The generator's mirror image.

    Input: images (B, channels, S, S) in [-1, 1].
    Output: (B,), the belief D(x), from 0, "fake", to 1, "real"; with `sigmoid=False` the score,
    whose sigmoid is the belief.
    `width` is the number of maps after the first layer (the article's ndf).

    normalization: "batch" as in the article; "spectral" divides each layer by its largest singular
        value (Miyato et al. 2018, arXiv 1802.05957); "none". Without BatchNorm the convolutions
        have a bias.
    leak: slope of LeakyReLU for negative inputs; 0 is plain ReLU.
    """

    def __init__(
        self,
        width: int = 64,
        channels: int = 3,
        image_size: int = 64,
        *,
        normalization: str = "batch",
        sigmoid: bool = True,
        leak: float = 0.2,
    ):
        super().__init__()
        middle = middle_layers(image_size, width)
        if normalization not in NORMALIZATIONS:
            raise CourseError(f"normalization is one of {NORMALIZATIONS}, not {normalization!r}")
        self.image_shape = (channels, image_size, image_size)
        batch = normalization == "batch"

        def convolution(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, 4, stride, padding, bias=not batch)
            return spectral_norm(layer) if normalization == "spectral" else layer

        maps = width
        layers = [convolution(channels, maps), nn.LeakyReLU(leak)]  # 64×64 → 32×32
        for _ in range(middle):  # 32×32 → 16×16 → 8×8 → 4×4: half the side, twice the maps
            layers += [convolution(maps, 2 * maps)]
            layers += [nn.BatchNorm2d(2 * maps)] if batch else []
            layers += [nn.LeakyReLU(leak)]
            maps *= 2
        layers += [convolution(maps, 1, stride=1, padding=0)]  # 4×4 → one number
        layers += [nn.Sigmoid()] if sigmoid else []
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.image_shape:
            raise CourseError(f"an image is {self.image_shape} here, not {tuple(images.shape[1:])}")
        return self.main(images).flatten()


def middle_layers(image_size: int, width: int) -> int:
    """How many doublings lie between 4×4 and half of the image; CourseError for other sizes."""
    if width < 1:
        raise CourseError(f"width is {width}; choose 1 or more feature maps, such as 32")
    if image_size not in MIDDLE_LAYERS:
        possible = ", ".join(map(str, MIDDLE_LAYERS))
        raise CourseError(f"image_size {image_size!r} is not possible; choose one of {possible}")
    return MIDDLE_LAYERS[image_size]


def initialise_weights(module: nn.Module) -> None:
    """The article's `weights_init`; use as `network.apply(initialise_weights)`.

    Convolutions N(0, 0.02), BatchNorm scale N(1, 0.02) and shift 0, as Radford et al. 2015 did.
    A spectrally normalised layer keeps PyTorch's own first weights: it divides their scale away.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not is_parametrized(module):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
