"""What makes a latent diffusion listen, and what the latents are for. Six tables.

    python benchmarks/diffusion.py train --run runs/diffusion     # every arm, three seeds each
    python benchmarks/diffusion.py table --run runs/diffusion     # by arm
    python benchmarks/diffusion.py painters                       # the committed one and the GAN
    python benchmarks/diffusion.py steps                          # the committed painter's steps
    python benchmarks/diffusion.py guidance                       # and how much it minds the words
    python benchmarks/diffusion.py space                          # latents beside pixels

Every arm gets the same minutes of one processor (`--minutes`), the same first weights, captions and
order; only what its name says is different. `--arms` and `--seeds` choose others; what is done is
not done again, and an interrupted training goes on. Measured on fresh captions of held-out faces by
the judge, both eyes counted; `--distances` adds the ruler's, of 600 pictures more. A painter of
pixels is asked for a fifth of the captions and for no distance: it takes 25 times as long.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import arms
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import conditional_gan as cgan
from course_lib import faces, judge, metrics, pixels, plots, text, training
from course_lib import latent_diffusion as ld
from course_lib.files import atomic
from course_lib.latent_diffusion import flow
from course_lib.latent_diffusion.unet import TIMES

OURS = ld.PRESETS["faces"].recipe
IN_PIXELS = "in pixels"
ARMS: dict[str, dict] = {
    "ours": {},
    "filled up with [PAD]": {"filler": "[PAD]"},
    "words looked at only": {"pooled": False},
    "no contrast": {"contrast": 0.0},
    "every place alike": {"emphasis": 0.0},
    "shorter captions": {"detailed": 0.0},
    "more noise": {"shift": 0.7},
    "v-prediction": {},
    IN_PIXELS: {},
}
CHOSEN = 1000  # captions, unless `--captions` says otherwise
# Guidance, and the times, 1 noise and 0 picture, between which it is used
LIMITED = ((2.0, 0.5, 1.0), (2.0, 0.0, 0.5), (3.0, 0.2, 0.8), (5.0, 0.2, 0.8))
PROMPTS = ("red eyes, blue hair", "green hair, glasses", "pink twintails", "frowning, white hair")


class Pixels(nn.Module):
    """Stands where an autoencoder stands, and changes nothing."""

    device = torch.device("cpu")

    def encode(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: images))

    def decode(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=images)


class Once(nn.Module):
    """An autoencoder that encodes no batch twice: all arms learn from the same latents."""

    def __init__(self, autoencoder: nn.Module):
        super().__init__()
        self.autoencoder, self.seen = autoencoder, {}

    @property
    def device(self) -> torch.device:
        return self.autoencoder.device

    def encode(self, images: Tensor) -> SimpleNamespace:
        name = hash(images.numpy().tobytes())
        if name not in self.seen:
            self.seen[name] = self.autoencoder.encode(images)
        return self.seen[name]

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return self.autoencoder.decode(latents)


class Round(nn.Module):
    """A U-Net of v-prediction (Salimans & Ho 2022, arXiv 2202.00512), asked as one of a flow.

    It knows places cos φ · data + sin φ · noise and answers cos φ · noise − sin φ · data. Divided
    by cos φ + sin φ such a place lies on the straight road, so the same sampler can walk it.
    """

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.unet, self.config = unet, unet.config

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def forward(self, places: Tensor, times: Tensor, states: Tensor) -> SimpleNamespace:
        time = (times / TIMES).view(-1, 1, 1, 1)
        angle = torch.atan2(time, 1 - time)
        place = places * (angle.cos() + angle.sin())
        v = self.unet(place, TIMES * angle.flatten() * 2 / math.pi, states).sample
        data = angle.cos() * place - angle.sin() * v
        return SimpleNamespace(sample=(places - data) / time)


def round_step(
    unet: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    *,
    encode: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], None],
    autocast: Callable,
    **_others,
) -> dict[str, Tensor]:
    """`ld.diffusion_step` on the round road: uniform angles, v to be predicted."""
    latents, tokens = batch
    noise = torch.randn_like(latents)
    angle = (torch.rand(len(latents)) * math.pi / 2).view(-1, 1, 1, 1)
    place, states = angle.cos() * latents + angle.sin() * noise, encode(tokens)
    with autocast():
        answer = unet(place, TIMES * angle.flatten() * 2 / math.pi, states).sample.float()
    loss = F.mse_loss(answer, angle.cos() * noise - angle.sin() * latents)
    optimiser.zero_grad()
    backward(loss)
    optimiser.step()
    return {"loss": loss}


def plan_of(
    arm: str, seed: int, autoencoder: nn.Module, options: argparse.Namespace
) -> tuple[training.Training, Callable[[], ld.Painter]]:
    """The training of an arm, and what it paints with."""
    recipe = replace(OURS, **ARMS[arm])
    encoder = text.load()
    autoencoder = Pixels() if arm == IN_PIXELS else autoencoder
    plan = ld.build_painter(
        faces.find(options.data),
        recipe,
        seed=seed,
        precision=options.precision,
        channels=tuple(options.channels),
        autoencoder=autoencoder,
        encoder=encoder,
    )
    if arm == "v-prediction":
        given, known = plan.step.args, plan.step.keywords
        plan.step = lambda batch: round_step(*given, batch, **known)

    def painter() -> ld.Painter:
        unet = Round(plan.result()) if arm == "v-prediction" else plan.result()
        return ld.Painter(unet, autoencoder, encoder, filler=recipe.filler)

    return plan, painter


def train(options: argparse.Namespace) -> None:
    """Every arm with every seed, one after the other."""
    autoencoder = Once(ld.load_autoencoder())
    for seed in range(options.seeds):
        for arm in options.arms:
            out = folder(options.run, arm, seed)
            if (out / "scores.json").exists():
                continue
            print(f"{arm}, seed {seed}", flush=True)
            plan, painter = plan_of(arm, seed, autoencoder, options)
            history = plan.fit(
                10**9,
                max_minutes=options.minutes,
                clock=time.process_time,
                folder=out / "checkpoints",
                pictures=None,
                watch=None,
                progress=False,
            )
            with plan.accelerator.autocast():
                found = measure(out, painter(), in_pixels=arm == IN_PIXELS, options=options)
            about = {"arm": arm, "seed": seed, "images": history.images}
            found = {**about, "minutes": round(history.seconds / 60, 1), **found}
            with atomic(out / "scores.json") as temporary:
                temporary.write_text(json.dumps(found, indent=1))
            print(json.dumps(found), flush=True)


def measure(
    out: Path, painter: ld.Painter, *, in_pixels: bool, options: argparse.Namespace
) -> dict[str, float]:
    """Scores by name, and `faces.png`: eight faces of each of PROMPTS."""

    def paint(prompts: list[str], seed: int) -> Tensor:
        return painter(prompts, seed).float()

    rows = [prompt for prompt in PROMPTS for _ in range(8)]
    Image.fromarray(pixels.image_grid(paint(rows, 3))).save(out / "faces.png")
    number = options.captions // 5 if in_pixels else options.captions
    found = text.in_brief(text.follow(paint, number, seed=1))
    if options.distances and not in_pixels:
        ruler = metrics.Ruler(faces.load("train"), faces.load("held-out"))
        values = ruler.values(paint(text.held_out_captions(), 2))
        found |= {name: values[f"frechet/{name}"] for name in arms.DISTANCES}
    return found


def table(options: argparse.Namespace) -> None:
    """Print medians and ranges over the seeds, and draw the figures."""
    rows = arms.read(options.run)
    arms.print_table(rows, list(ARMS))
    if options.figures:
        arms.draw(
            rows, [arm for arm in ARMS if arm != IN_PIXELS], options.figures / "diffusion_arms.png"
        )
        beside(options.run, options.figures / "diffusion_pixels.png")


def beside(run: Path, path: Path) -> None:
    """What the first seed's painters of latents and of pixels paint, of two prompts each."""
    pictures = [folder(run, arm, 0) / "faces.png" for arm in ("ours", IN_PIXELS)]
    if all(picture.exists() for picture in pictures):
        rows = np.concatenate([arms.faces_of(picture)[:16] for picture in pictures])
        Image.fromarray(pixels.image_grid(rows)).save(path, optimize=True)


def steps(options: argparse.Namespace) -> None:
    """Accuracy, and the time of one picture, against the number of steps."""
    painter = ld.Painter()
    autocast = training.make_accelerator(options.precision).autocast
    numbers, found = (1, 2, 3, 4, 6, 8, 10, 20), []
    print("| steps | hair | eyes | mean | everything | one picture, s |")
    print("|---|---|---|---|---|---|")
    for number in numbers:
        with autocast():
            paint = lambda prompts, seed: painter(prompts, seed, steps=number).float()  # noqa: B023, E731
            found.append(text.in_brief(text.follow(paint, options.captions, seed=1)))
        took = _seconds(lambda number=number: painter(["red eyes, blue hair"], steps=number))
        cells = " | ".join(f"{value:.1%}" for value in found[-1].values())
        print(f"| {number} | {cells} | {took:.2f} |", flush=True)
    if options.figures:
        _curve(numbers, found, "steps", options.figures)


def guidance(options: argparse.Namespace) -> None:
    """Accuracy, and how the pictures are, against the guidance; then with it at some times only."""
    painter = ld.Painter()
    wanted = ("frechet/convolution", "frechet/pixels", "recall") if options.distances else ()
    ruler = wanted and metrics.Ruler(faces.load("train"), faces.load("held-out"))
    autocast = training.make_accelerator(options.precision).autocast
    scales, found = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0), []
    print(f"| guidance | at times | {' | '.join([*arms.COLUMNS[:4], *wanted])} |")
    print("|---" * (6 + len(wanted)) + "|")
    for scale, first, last in [*((one, 0.0, 1.0) for one in scales), *LIMITED]:
        paint = partial(_limited, painter, scale=scale, first=first, last=last)
        with autocast():
            found.append(text.in_brief(text.follow(paint, options.captions, seed=1)))
        cells = [f"{value:.1%}" for value in found[-1].values()]
        if ruler:
            with autocast():
                images = paint(text.held_out_captions(), 2)
            values = ruler.values(images)
            cells += [f"{values[name]:.2f}" for name in wanted]
        print(f"| {scale:g} | {first:g}–{last:g} | {' | '.join(cells)} |", flush=True)
    if options.figures:
        _curve(scales, found[: len(scales)], "guidance", options.figures)


@torch.no_grad()
def _limited(
    painter: ld.Painter, prompts: Sequence[str], seed: int, scale: float, first: float, last: float
) -> Tensor:
    """Pictures guided at times from `first` to `last` (Kynkäänniemi et al. 2024, 2404.07724)."""
    states, empty = painter.states(prompts)
    latents = []
    for told, noise in zip(
        states.split(64), painter.noise(len(prompts), seed).split(64), strict=True
    ):
        ways = [ld.guided_velocity(painter.unet, told, empty, one) for one in (1.0, scale)]
        velocity = lambda places, time: ways[bool(first <= time[0] <= last)](places, time)  # noqa: B023, E731
        latents.append(flow.two_step(velocity, noise, flow.times_of(10))[-1])
    return ld.decode(painter.autoencoder, torch.cat(latents)).float()


def _curve(at: Sequence[float], found: list[dict[str, float]], name: str, folder: Path) -> None:
    """Accuracy against something, as `diffusion_NAME.png`."""
    with plots.style():
        figure, axes = plt.subplots(figsize=(7, 3.2))
        for column, marker in zip(arms.COLUMNS[:3], "os^", strict=True):
            axes.plot(at, [100 * row[column] for row in found], marker=marker, label=column)
        axes.set(xlabel=name, ylabel="% as asked for", xscale="log", ylim=(0, 101))
        axes.set_xticks(at, [f"{one:g}" for one in at], minor=False)
        axes.legend(loc="lower center")
        figure.savefig(folder / f"diffusion_{name}.png")


def painters(options: argparse.Namespace) -> None:
    """Lesson 4's committed GAN and this one, and real faces, by all rulers."""
    known = faces.load("held-out")
    ruler = metrics.Ruler(faces.load("train"), known)
    both = {"GAN": cgan.Painter(), "diffusion": ld.Painter()}
    print("| painter | prompts | " + " | ".join(arms.COLUMNS[:4]) + " |")
    print("|---" * 6 + "|")
    for name, painter in both.items():
        for language in text.SAY:
            scores = text.follow(painter, 2 * CHOSEN, seed=1, languages=[language])
            cells = " | ".join(f"{value:.1%}" for value in text.in_brief(scores).values())
            print(f"| {name} | {language} | {cells} |", flush=True)
            weak = sorted(scores.keys() - {"everything"}, key=lambda one: scores[one].accuracy)[:5]
            print("weakest: " + ", ".join(f"{one} {scores[one].accuracy:.1%}" for one in weak))
    print("| painter | convolution | pixels | precision | recall | eyes match | one picture, s |")
    print("|---" * 7 + "|")
    captions = text.held_out_captions()
    for name, painter in both.items():
        for seed in (2, 3):
            images = painter(captions, seed)
            values = ruler.values(images)
            wanted = ("frechet/convolution", "frechet/pixels", "precision", "recall")
            cells = " | ".join(f"{values[one]:.2f}" for one in wanted)
            took = _seconds(lambda painter=painter: painter(["red eyes, blue hair"]))
            print(f"| {name} | {cells} | {_matching(images):.1%} | {took:.2f} |", flush=True)
    print(f"| real faces | 1 | 1 | | | {_matching(known.tensor()):.1%} | |")


def _matching(images: Tensor) -> float:
    """The share of faces whose eyes have one colour, of those in which one can be seen."""
    seen = [colours for colours in judge.eye_colours(images) if colours]
    return sum(len(colours) == 1 for colours in seen) / len(seen)


def _seconds(paint: Callable[[], object], times: int = 5) -> float:
    paint()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        paint()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def space(options: argparse.Namespace) -> None:
    """The same network on latents and on pixels: time, memory, numbers."""
    torch.manual_seed(0)
    autoencoder = ld.load_autoencoder()
    print("| the U-Net's space | numbers | weights | a training step of 8, s | its memory, MiB | "
          "one picture, s |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for name, numbers, side in (("latents", 4, 16), ("pixels", 3, 64)):
        unet = ld.new_unet(tuple(options.channels), numbers=numbers, side=side)
        optimiser = torch.optim.AdamW(unet.parameters(), fused=True)
        batch = (torch.randn(8, numbers, side, side), torch.zeros(8, 64, dtype=torch.long))
        states = torch.randn(8, 64, 128)
        learn = lambda: ld.diffusion_step(unet, optimiser, batch, encode=lambda _: states)  # noqa: B023, E731
        learning, memory = _seconds(learn, 3), _activations(learn)
        painter = ld.Painter(unet.eval(), autoencoder if numbers == 4 else Pixels())
        painting = _seconds(lambda: painter(["red eyes, blue hair"]), 3)  # noqa: B023
        weights = sum(p.numel() for p in unet.parameters())
        print(f"| {name} | {numbers * side**2:,} | {weights / 1e6:.1f} M | {learning:.2f} | "
              f"{memory / 2**20:.0f} | {painting:.2f} |", flush=True)  # fmt: skip


def _activations(learn: Callable[[], object]) -> int:
    """Bytes that are kept for the way back in one step, without the weights'."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        learn()
    return sum(kept.values())


def folder(run: Path, arm: str, seed: int) -> Path:
    return run / f"{arm.replace(' ', '-').strip('[]')}-{seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {one.__name__: one for one in (train, table, painters, steps, guidance, space)}
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--run", type=Path, default=Path("runs/diffusion"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8.0, help="of the processor, for each")
    parser.add_argument("--captions", type=int, default=CHOSEN, help="to paint and judge")
    parser.add_argument("--distances", action="store_true", help="the ruler's too")
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 128, 128])
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds[options.what](options)


if __name__ == "__main__":
    main()
