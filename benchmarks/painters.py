"""Two painters, about an hour of one core each: the article's networks, and the styled ones.

    python benchmarks/painters.py                     # the table, and a figure of both beside faces

Same faces, recipe and loop; only the networks differ (`course_lib.dcgan.styled`). Five draws of 600
pictures for the distances; the shares are of the same 3,000 pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import dcgan, faces, judge, metrics, pixels, pretrained
from course_lib.files import atomic

PAINTERS: dict[str, Callable[..., nn.Module]] = {
    "faces-dcgan": dcgan.Generator,
    "faces-styled": dcgan.StyledGenerator,
}
DRAWS = 5
SCALE = 3  # of the figure's pixels


def fine_detail(pictures: Tensor) -> Tensor:
    """What a blur of 3×3 takes away, (B, 1, S - 2, S - 2), in levels of grey; pictures in [-1, 1].

    Without the frame, where the blur would have to invent neighbours.
    """
    grey = pictures.clamp(-1, 1).mean(1, keepdim=True) * 127.5
    return grey[:, :, 1:-1, 1:-1] - F.avg_pool2d(grey, 3, 1)


def flat_share(pictures: Tensor) -> float:
    """The share of patches of 3×3 whose grey levels differ by no more than 4 of 255.

    A blur makes pictures flat, too: read it beside `lines_and_between`.
    """
    grey = pictures.clamp(-1, 1).mean(1, keepdim=True) * 127.5
    spread = F.max_pool2d(grey, 3, 1) + F.max_pool2d(-grey, 3, 1)
    return (spread <= 4).float().mean().item()


def lines_and_between(pictures: Tensor) -> tuple[float, float]:
    """The mean of each picture's strongest tenth of fine detail, and of its weaker half, in levels.

    In drawings the one is lines and edges, the other next to nothing. A blur weakens both, and the
    strongest tenth says how strong edges are, not whether they lie where they should.
    """
    detail = fine_detail(pictures).abs().flatten(1).sort(dim=1).values
    number = detail.shape[1]
    return detail[:, -(number // 10) :].mean().item(), detail[:, : number // 2].mean().item()


def odd_eyes(pictures: Tensor) -> tuple[int, int]:
    """Faces whose two eyes the judge reads as two colours, and faces with two open eyes at all.

    The judge has learnt from drawings; on blotchy irises it guesses.
    """
    colours = judge.eye_colours(pictures)
    shapes = [names["eye_shape"] for names in judge.read(pictures).names]
    both = [i for i, shape in enumerate(shapes) if shape not in ("closed", "wink")]
    return sum(len(colours[i]) == 2 for i in both), len(both)


def seen(pictures: Tensor) -> list[str]:
    """A row's last cells: flat patches, the detail of lines and between them, odd eyes."""
    odd, both = odd_eyes(pictures)
    lines, between = lines_and_between(pictures)
    return [
        f"{flat_share(pictures):.0%}",
        f"{lines:.1f}",
        f"{between:.2f}",
        f"{odd / both:.0%} of {both:,}",
    ]


def row(name: str, ruler: metrics.Ruler) -> list[str]:
    paint = metrics.painter(pretrained.load(name, PAINTERS[name]))
    measures = ruler.measure(paint, draws=DRAWS)
    cells = [name, f"{pretrained.describe(name)['training']['images']:,}"]
    for space in ("frechet/convolution", "frechet/pixels"):
        m = measures[space]
        cells.append(f"{m.value:.1f} ({m.low:.1f}–{m.high:.1f})")
    cells += [f"{measures[share].value:.2f}" for share in ("precision", "recall")]
    return cells + seen(torch.cat([paint(ruler.n, seed) for seed in range(DRAWS)]))


def figure(seed: int) -> Image.Image:
    """Two rows of each painter's first faces, and one of drawings, every pixel a square."""
    painted = [
        metrics.painter(pretrained.load(name, network))(16, seed)
        for name, network in PAINTERS.items()
    ]
    grid = Image.fromarray(
        pixels.image_grid(torch.cat([*painted, faces.load("held-out")[:8].tensor()]), columns=8)
    )
    return grid.resize((SCALE * grid.width, SCALE * grid.height), Image.Resampling.NEAREST)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figures", type=Path, default=Path("benchmarks/figures"))
    parser.add_argument("--seed", type=int, default=2, help="of the figure's noise")
    options = parser.parse_args(arguments)
    unseen = faces.load("held-out")
    ruler = metrics.Ruler(faces.load("train"), unseen)
    print("| painter | pictures seen | convolution | pixels | precision | recall ", end="")
    print("| flat patches | lines | between them | eyes of two colours |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in PAINTERS:
        print("| " + " | ".join(row(name, ruler)) + " |", flush=True)
    print("| *drawings, held out* | | 1 | 1 | | | " + " | ".join(seen(unseen.tensor())) + " |")
    with atomic(options.figures / "painters.png") as temporary:
        figure(options.seed).save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
