"""Do the course's painters copy? Near-copies among many pictures of each, and what else they tell.

    python benchmarks/novelty.py --number 2000

Each painter's pictures are looked up among all that it has learnt from, and their mirror images.
The limit under which a picture counts as a copy is set for each on real faces that nobody has
learnt from (the 600 held-out ones: 2 % of them are nearer), and tried on others, drawn anew.
"Beside fresh faces": the same pictures, the same limit, but looked up among as many faces that
nobody has learnt from. The column "copies" is what a painter would score that copies everything:
its own training faces, given back by lesson 5's autoencoder. The copier is one that was made to
copy: the first of the pair "halves-64", which has seen 64 faces, and each of them a thousand times.

The second table needs no limit: how many pictures are nearer to one of the faces that the painter
has learnt from than to any of as many that were drawn anew. One that knows nothing of its own in
particular is so in half of the cases.

The third asks each painter of words with the captions of faces that it has learnt from, and with
those of as many that were drawn anew: how often is what it paints nearer to the face that its words
were taken from, when that is one of its own? Half of the time, for who only does as told. One that
has pictures by heart, under their captions, would be found here (Carlini et al. 2023, arXiv
2301.13188, asked so).

The fourth: how many kinds of faces a painter knows (`novelty.variety`), how many of its pictures
are of a kind that none of the faces it learnt from is of, and, of those that are told, how often
hair and both eyes come out in pairs of colours that they never saw together.
The drawing takes some minutes; it is kept in the cache.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from course_lib import captions, dcgan, faces, judge, metrics, novelty, pretrained, text
from course_lib import conditional_gan as cgan
from course_lib import latent_diffusion as ld

FRESH = 107  # seed of the faces that nobody has learnt from
BESIDE = 207  # seed of those beside as many that a painter has
FEW = 64  # faces that the copier has seen
PAINTERS = ("DCGAN", "conditional GAN", "diffusion", "the copier")
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


def from_memory(number: int) -> Tensor:
    copier = pretrained.load(f"halves-{FEW}", novelty.Pair).one
    return novelty.paint(copier, ld.load_autoencoder(), novelty.noise_for(number, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=2000, help="of pictures of each painter")
    parser.add_argument("--told", type=int, default=500, help="of captions, for seen and unseen")
    parser.add_argument("--painters", nargs="+", choices=PAINTERS, default=PAINTERS)
    options = parser.parse_args()
    bundled = faces.load("train")
    told = faces.without_apart(faces.render(TOLD, seed=0))
    obeying = {"conditional GAN": cgan.Painter(), "diffusion": ld.Painter()}
    every = {
        "DCGAN": (bundled, by_noise),
        **{name: (told, by_prompts(painter)) for name, painter in obeying.items()},
        "the copier": (novelty.halves(FEW)[0], from_memory),
    }
    painters = {name: every[name] for name in options.painters}
    unseen, fresh = faces.load("held-out"), faces.render(options.number, seed=FRESH)
    beside = faces.render(TOLD, seed=BESIDE)
    leaning, unshown, by_heart = {}, {}, {}
    autoencoder, kinds = ld.load_autoencoder(), {"real, drawn anew": effective(fresh.tensor())}
    print("| painter | space | limit | its pictures | beside fresh faces | real, anew | copies |")
    print("|---" * 7 + "|")
    for name, (learnt, paint) in painters.items():
        images = paint(options.number).clamp(-1, 1)
        kinds[name] = effective(images)
        # without the pairs of colours that the painter has not seen either
        others = faces.without_apart(beside) if name in obeying else beside
        leaning[name], unshown[name] = leans(images, learnt, others), new_kinds(images, learnt)
        if name in obeying:
            by_heart[name] = own_captions(obeying[name], learnt[: options.number], others)
        copied = ld.give_back(autoencoder, learnt[: options.number].tensor())
        for space in novelty.SPACES:
            limit, *scores = near_copies(
                space, images, learnt, others, fresh, unseen, copied, name != "the copier"
            )
            cells = " | ".join(map(cell, scores))
            print(f"| {name} | {space} | {limit:.3f} | {cells} |", flush=True)
    for title, rows in (
        ("nearer to its own", leaning),
        ("nearer to the face of the caption, if it is its own", by_heart),
    ):
        print(f"\n| painter, {title} | " + " | ".join(novelty.SPACES) + " |")
        print("|---" * (1 + len(novelty.SPACES)) + "|")
        for name, cells in rows.items():
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("\n| painter | kinds of faces | of a kind not shown | pairs never seen | often seen |")
    print("|---" * 5 + "|")
    for name, number in kinds.items():
        painter = obeying.get(name)
        apart = [of_pairs(painter, seen, options.told) if painter else "" for seen in (False, True)]
        cells = [name, number, unshown.get(name, ""), *apart]
        print("| " + " | ".join(cells) + " |", flush=True)


def near_copies(
    space: str,
    images: Tensor,
    learnt: faces.Faces,
    others: faces.Faces,
    fresh: faces.Faces,
    unseen: faces.Faces,
    copied: Tensor,
    mirrored: bool,
) -> tuple[float, judge.Score, judge.Score, judge.Score, judge.Score]:
    """The limit in a space, and the near-copies of the first table's four columns."""
    known = novelty.Known(learnt, space, mirrored=mirrored)
    as_many = others[: len(learnt)]
    strange = novelty.Known(as_many, space, mirrored=mirrored, unit=known.unit)
    limit = known.limit(unseen)
    asked = ((known, images), (strange, images), (known, fresh), (known, copied))
    return limit, *(novelty.copies(*one, limit) for one in asked)


def leans(images: Tensor, learnt: faces.Faces, fresh: faces.Faces) -> list[str]:
    """For each space how many images are nearer to their painter's own faces than to fresh ones."""
    number, cells = min(len(learnt), len(fresh)), []
    for space in novelty.SPACES:
        unit = novelty.Known(fresh, space, mirrored=False).unit
        own, other = (
            novelty.Known(part[:number], space, unit=unit).nearest(images).distance
            for part in (learnt, fresh)
        )
        cells.append(cell(judge.Score(int((own < other).sum()), len(images))))
    return cells


def own_captions(
    paint: Callable[[list[str], int], Tensor], learnt: faces.Faces, fresh: faces.Faces
) -> list[str]:
    """How much nearer a picture told the caption of a face is to it, if it is one of its own.

    For each space the chance that a picture is nearer to the face that its caption was taken from
    where that face was learnt from than where it was not.

    All pairs of one of the learnt and one of the fresh are compared: the rank test of Mann and
    Whitney. Its interval, for who knows nothing: 1.96 · √((n + m + 1) / 12 nm).
    """
    rng, told, painted = random.Random("own captions"), [], []
    for part in (learnt, fresh[: len(learnt)]):
        prompts = [
            captions.describe_in(rng.choice(captions.LANGUAGES), face, rng)[0]
            for face in part.attributes
        ]
        told.append(part)
        painted.append(paint(prompts, 1).clamp(-1, 1))
    cells = []
    for space in novelty.SPACES:
        unit = novelty.Known(fresh, space, mirrored=False).unit
        own, strange = (
            to_its_face(novelty.Known(part, space, mirrored=False, unit=unit), images)
            for part, images in zip(told, painted, strict=True)
        )
        n, m = len(own), len(strange)
        chance = (own[:, None] < strange).float().mean().item()
        cells.append(
            f"{chance:.1%} (by chance 50 ± {196 * ((n + m + 1) / (12 * n * m)) ** 0.5:.1f})"
        )
    return cells


def to_its_face(known: novelty.Known, images: Tensor) -> Tensor:
    """(B,) distances of images to the known face of the same row, not to the nearest."""
    return (known.features(images) - known.known).square().mean(1).sqrt()


def effective(images: Tensor) -> str:
    """The effective number of kinds in images: of three disjoint thirds, the least and the most."""
    seen = judge.read(images.clamp(-1, 1)).names
    third = len(seen) // 3
    found = [novelty.variety(seen[i * third : (i + 1) * third]) for i in range(3)]
    return f"{novelty.variety(seen):,.0f} ({min(found):,.0f}–{max(found):,.0f})"


def new_kinds(images: Tensor, learnt: faces.Faces) -> str:
    """How many images are of a kind, by `novelty.COUNTED`, that no face learnt from is of."""
    shown = {novelty.kind_of(face) for face in learnt.attributes}
    seen = [novelty.kind_of(face) for face in judge.read(images.clamp(-1, 1)).names]
    return cell(judge.Score(sum(one not in shown for one in seen), len(seen)))


def of_pairs(painter: Callable[[list[str], int], Tensor], seen: bool, number: int) -> str:
    """How often hair and both eyes are right, of pairs of colours that it has seen, or has not."""

    def wanted(attributes: Mapping[str, str]) -> bool:
        return attributes["eye_color"] != "hidden" and faces.held_apart(attributes) != seen

    return cell(text.follow(painter, number, seed=3, wanted=wanted)["everything"])


def cell(score: judge.Score) -> str:
    """Such as "1.2 % (0.8–1.8)", with the 95 % interval by Wilson."""
    low, high = score.interval
    return f"{score.accuracy:.1%} ({100 * low:.1f}–{100 * high:.1f})"


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
