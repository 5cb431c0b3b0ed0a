"""Make the README's two pictures again, after the faces or the weights have changed.

Usage:
    python -m tools.pictures
"""

import torch
from PIL import Image

from course_lib import dcgan, faces, pixels, settings
from tools.notebooks import ROOT

FIGURES = ROOT / "notebooks" / "figures"


def generated(number: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures of the committed generator, the first that come: (number, 3, 64, 64)."""
    generator = dcgan.load_or_train("pretrained").generator
    noise = torch.randn(number, generator.noise_size, generator=torch.Generator().manual_seed(seed))
    return dcgan.paint(generator, noise.to(settings.device()))


def main() -> None:
    for name, images in (("data", faces.load()[:64].images), ("generated", generated())):
        path = FIGURES / f"faces_{name}.png"
        Image.fromarray(pixels.image_grid(images, columns=8)).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
