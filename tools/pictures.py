"""Make the README's three pictures again, after the faces or the weights have changed.

Usage:
    python -m tools.pictures
"""

import torch
from PIL import Image

from course_lib import conditional_gan, dcgan, faces, pixels, settings
from tools.notebooks import ROOT

FIGURES = ROOT / "notebooks" / "figures"
PROMPTS = (
    "blonde twintails, blue eyes",
    "红眼睛，蓝色长发",
    "pink bob, cat ears",
    "戴眼镜，绿色头发",
)


def generated(number: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures of the committed generator, the first that come: (number, 3, 64, 64)."""
    generator = dcgan.load_or_train("pretrained").generator
    noise = torch.randn(number, generator.noise_size, generator=torch.Generator().manual_seed(seed))
    return dcgan.paint(generator, noise.to(settings.device()))


def told(number: int = 10, seed: int = 0) -> torch.Tensor:
    """Pictures of the committed painter of words, some of each prompt, the first that come."""
    return conditional_gan.Painter()([prompt for prompt in PROMPTS for _ in range(number)], seed)


def main() -> None:
    kinds = {"data": faces.load()[:64].images, "generated": generated(), "told": told()}
    for name, images in kinds.items():
        path = FIGURES / f"faces_{name}.png"
        columns = 10 if name == "told" else 8
        Image.fromarray(pixels.image_grid(images, columns=columns)).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
