"""Do the course's painters copy? A table: near-copies among many pictures of each, in three spaces.

    python benchmarks/novelty.py --number 2000

Each painter's pictures are looked up among all that it has learnt from, and their mirror images.
The limit under which a picture counts as a copy is set for each on real faces that nobody has
learnt from (the 600 held-out ones: 2 % of them are nearer), and tried on others, drawn anew. The
column "copies" is what a painter would score that copies everything: its own training faces, given
back by lesson 5's autoencoder. The drawing takes some minutes; it is kept in the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib import conditional_gan as cgan
from course_lib import dcgan, faces, judge, metrics, novelty, pretrained, text
from course_lib import latent_diffusion as ld

FRESH = 107  # seed of the faces that nobody has learnt from
TOLD = 20_000  # drawings, of which the two painters of words saw those not held apart


def by_prompts(paint: Callable[[list[str], int], Tensor]) -> Callable[[int], Tensor]:
    """So many pictures, of the captions of held-out faces and, from the 601st on, again."""

    def painted(number: int) -> Tensor:
        prompts = [one for seed in range(-(-number // 600)) for one in text.held_out_captions(seed)]
        return paint(prompts[:number], 1)

    return painted


def by_noise(number: int) -> Tensor:
    generator = pretrained.load("faces-dcgan", dcgan.Generator)
    return metrics.painter(generator)(number, 1).cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=2000, help="of pictures of each painter")
    options = parser.parse_args()
    bundled = faces.load("train")
    told = faces.without_apart(faces.render(TOLD, seed=0))
    painters = {
        "DCGAN": (bundled, by_noise),
        "conditional GAN": (told, by_prompts(cgan.Painter())),
        "diffusion": (told, by_prompts(ld.Painter())),
    }
    unseen, fresh = faces.load("held-out"), faces.render(options.number, seed=FRESH)
    autoencoder = ld.load_autoencoder()
    print("| painter | space | limit | its pictures | real, drawn anew | copies |")
    print("|---" * 6 + "|")
    for name, (learnt, paint) in painters.items():
        images = paint(options.number).clamp(-1, 1)
        copied = ld.give_back(autoencoder, learnt[: options.number].tensor())
        for space in novelty.SPACES:
            known = novelty.Known(learnt, space)
            limit = known.limit(unseen)
            cells = [cell(novelty.copies(known, one, limit)) for one in (images, fresh, copied)]
            print(f"| {name} | {space} | {limit:.3f} | " + " | ".join(cells) + " |", flush=True)


def cell(score: judge.Score) -> str:
    """Such as "1.2 % (0.8–1.8)", with the 95 % interval by Wilson."""
    low, high = score.interval
    return f"{score.accuracy:.1%} ({100 * low:.1f}–{100 * high:.1f})"


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
