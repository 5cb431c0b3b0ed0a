"""Make the README's pictures again, after the faces or the weights have changed.

Usage:
    python -m tools.pictures
"""

import torch
from PIL import Image

from course_lib import conditional_gan, dcgan, faces, pixels, settings
from course_lib import latent_diffusion as ld
from tools.notebooks import ROOT

FIGURES = ROOT / "notebooks" / "figures"
PROMPTS = (
    "blonde twintails, blue eyes",
    "红眼睛，蓝色长发",
    "pink bob, cat ears",
    "戴眼镜，绿色头发",
)

ROADS = {"english": "blonde twintails, blue eyes", "chinese": "红眼睛，蓝色长发"}
MOMENTS = (0, 2, 4, 5, 6, 7, 8, 10)  # of the ten steps from noise to picture; early ones look alike


def generated(number: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures of the committed generator, the first that come: (number, 3, 64, 64)."""
    generator = dcgan.load_or_train("pretrained").generator
    noise = torch.randn(number, generator.noise_size, generator=torch.Generator().manual_seed(seed))
    return dcgan.paint(generator, noise.to(settings.device()))


def told(number: int = 10, seed: int = 0) -> torch.Tensor:
    """Pictures of the committed painter of words, some of each prompt, the first that come."""
    return conditional_gan.Painter()([prompt for prompt in PROMPTS for _ in range(number)], seed)


@torch.no_grad()
def roads(seed: int = 0) -> dict[str, Image.Image]:
    """From noise to a face, once for a prompt in each language: the README's first pictures."""
    painter = ld.Painter()
    states, empty = painter.states(list(ROADS.values()))
    places = ld.walk(painter.unet, states, empty, painter.noise(len(ROADS), seed))
    strips = {}
    for i, name in enumerate(ROADS):
        images = ld.decode(painter.autoencoder, torch.stack([places[m][i] for m in MOMENTS]))
        strip = Image.fromarray(pixels.image_grid(images, columns=len(MOMENTS)))
        strips[name] = strip.resize((2 * strip.width, 2 * strip.height), Image.Resampling.LANCZOS)
    return strips


def main() -> None:
    kinds = {"data": faces.load()[:64].images, "generated": generated(), "told": told()}
    for name, images in kinds.items():
        path = FIGURES / f"faces_{name}.png"
        columns = 10 if name == "told" else 8
        Image.fromarray(pixels.image_grid(images, columns=columns)).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")
    for name, strip in roads().items():
        path = FIGURES / f"road_{name}.png"
        pixels.in_few_colours(strip).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
