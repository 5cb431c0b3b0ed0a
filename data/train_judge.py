"""Train the judge whose weights are committed in `data/weights`.

    python data/train_judge.py --run ~/run-judge --minutes 16 --precision bf16 --threads 1

It learns from the 5,400 training faces and 6,000 newly drawn ones; 3,000 more, not learnt from,
say how sure it may be of itself. Checkpoints are saved in the folder `--run` as it goes; the same
command goes on after an interruption. At the end (of the epochs or of the minutes, whichever comes
first) the weights and their line in the manifest are written to `data/weights`. `--export-only`
writes what a run has so far.
"""

import argparse
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import faces, judge, pretrained, settings, training

DRAWN = {101: 3000, 102: 3000}  # seed: how many
VALIDATION = {103: 3000}
WIDTH, HIDDEN = 24, 256
BATCH_SIZE = 128
EPOCHS = 40
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.02
AVERAGE = 0.995
APART = 100  # mean square difference of 255 levels; a copy in 256 colours is about 2 away


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="folder for the checkpoints")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("no", "bf16"))
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--export-only", action="store_true", help="write what the run has so far")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    known = [faces.load("train"), *(faces.render(n, seed) for seed, n in DRAWN.items())]
    closest = distance_to_nearest(faces.load("held-out"), known)
    print(f"{sum(map(len, known)):,} faces; the held-out faces are at least {closest:.0f} away")
    if closest < APART:
        raise SystemExit("A held-out face is among the training faces: choose other seeds.")

    network, history = train(known, options)
    if history.stopped == "interrupted":
        return  # go on with the same command
    if not history.steps:
        raise SystemExit(f"{options.run} holds no checkpoint to export")
    validation = [faces.render(n, seed) for seed, n in VALIDATION.items()]
    calibrate(network, validation)
    export(network, history, validation, options)


# Learning


class Numbers:
    """What `fit` deals out: the faces' numbers, by which the step finds pictures and labels."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def tensor(self, indices: Any) -> Tensor:
        return torch.as_tensor(indices)


def train(
    known: list[faces.Faces], options: argparse.Namespace
) -> tuple[judge.Judge, training.History]:
    """The average of the trained network's weights, and what happened."""
    accelerator = training.make_accelerator(options.precision)
    device = accelerator.device
    images = torch.from_numpy(np.concatenate([part.images for part in known]))
    images = images.permute(0, 3, 1, 2).to(device)
    labels = {name: column.to(device) for name, column in labels_of(known).items()}

    torch.manual_seed(options.seed)
    network = judge.Judge(width=WIDTH, hidden=HIDDEN).to(device, memory_format=torch.channels_last)
    average = training.EMA(network, AVERAGE)
    optimiser = torch.optim.AdamW(
        network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )

    def step(numbers: Tensor) -> dict[str, Tensor]:
        batch = augment(images[numbers].float() / 127.5 - 1)
        with accelerator.autocast():
            logits = network(batch)
        losses = [
            F.cross_entropy(logits[name], labels[name][numbers], ignore_index=-1) for name in logits
        ]
        loss = torch.stack(losses).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    history = training.fit(
        step,
        Numbers(len(images)),
        steps=0 if options.export_only else EPOCHS * (len(images) // BATCH_SIZE),
        batch_size=BATCH_SIZE,
        seed=options.seed,
        keep={"network": network, "optimiser": optimiser, "average": average},
        schedule=one_cycle,
        folder=options.run,
        save_every=500,
        max_minutes=options.minutes,
        accelerator=accelerator,
    )
    return average.network, history


def one_cycle(progress: float, warm: float = 0.1) -> float:
    """Up to 1 in a straight line, then down to 0 along a cosine."""
    if progress < warm:
        return 0.02 + 0.98 * progress / warm
    return (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) / 2


def augment(images: Tensor) -> Tensor:
    """Pictures (B, 3, 64, 64) as a painting network might have made them.

    Some are mirrored (no attribute has a side), moved, blurred, in slightly other colours, noisy.
    Never of another hue: it is what is to be learnt. Each change is worked out for the pictures
    that it falls on only, which halves the time.
    """
    for share, change in ((0.5, mirror), (0.4, move), (0.35, soften), (0.6, tint), (0.5, grain)):
        chosen = torch.rand(len(images), device=images.device) < share
        images[chosen] = change(images[chosen])
    return images.clamp(-1, 1)


def mirror(images: Tensor) -> Tensor:
    return images.flip(-1)


def move(images: Tensor) -> Tensor:
    """Shifted by up to 3 pixels, scaled and tilted a little."""
    scale = uniform(images, 0.94, 1.06).flatten()
    angle = uniform(images, -0.06, 0.06).flatten()  # radians
    right, down = (uniform(images, -0.1, 0.1).flatten() for _ in range(2))  # of half a side
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cosine, -sine, right], 1), torch.stack([sine, cosine, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def soften(images: Tensor) -> Tensor:
    """Blurred with a sigma of 1.4 pixels, and mixed with the sharp picture in any proportion."""
    blurred = images
    for _ in range(4):  # each of these kernels has a variance of ½ pixel²
        for dim in (2, 3):
            padded = F.pad(blurred, (1, 1, 0, 0) if dim == 3 else (0, 0, 1, 1), mode="replicate")
            before, middle, after = (padded.narrow(dim, i, images.shape[dim]) for i in range(3))
            blurred = (before + after).add(middle, alpha=2).div_(4)
    return torch.lerp(images, blurred, uniform(images, 0.1, 1))


def tint(images: Tensor) -> Tensor:
    """A little brighter or darker, with more or less contrast and saturation."""
    limits = (0.1, 0.12, 0.2)
    return judge.recolour(images, *(uniform(images, -limit, limit) for limit in limits))


def grain(images: Tensor) -> Tensor:
    return images + uniform(images, 0, 0.16) * torch.randn_like(images)


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """A number for each picture, (B, 1, 1, 1)."""
    return torch.empty((len(images), 1, 1, 1), device=images.device).uniform_(low, high)


# Afterwards


def calibrate(network: judge.Judge, validation: list[faces.Faces]) -> None:
    """Temperatures from new faces as they are and disturbed, since it will judge both."""
    torch.manual_seed(0)
    images = torch.cat([part.tensor() for part in validation])
    disturbed = torch.cat([augment(batch.clone()) for batch in images.split(256)])
    labels = {name: column.repeat(2) for name, column in labels_of(validation).items()}
    device = network.temperature.device
    labels = {name: column.to(device) for name, column in labels.items()}
    judge.calibrate(network, torch.cat([images, disturbed]).to(device), labels)


def labels_of(known: list[faces.Faces]) -> dict[str, Tensor]:
    parts = [judge.label_numbers(part) for part in known]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def distance_to_nearest(held_out: faces.Faces, known: list[faces.Faces]) -> float:
    """The smallest mean square difference between a held-out and a training face.

    At a quarter of the size, where a picture and its copy in 256 colours are the same.
    """
    if set(held_out.seeds) & {seed for part in known for seed in part.seeds}:
        return 0.0

    def small(part: faces.Faces) -> Tensor:
        return F.avg_pool2d((part.tensor() + 1) * 127.5, 4).flatten(1).double()

    ours = small(held_out)
    nearest = min(float(torch.cdist(ours, small(part)).min()) for part in known)
    return nearest**2 / ours.shape[1]


def export(
    network: judge.Judge,
    history: training.History,
    validation: list[faces.Faces],
    options: argparse.Namespace,
) -> None:
    rows, met = judge.report(faces.load("held-out"), network)
    given = [(name, getattr(options, name)) for name in ("minutes", "precision", "threads")]
    command = ["python data/train_judge.py"]
    command += [f"--{name} {value}" for name, value in given if value]
    checked = [judge.accuracy(part, judge=network) for part in validation]
    path = pretrained.save(
        "judge",
        network,
        config={"values": list(network.values.items()), "width": WIDTH, "hidden": HIDDEN},
        training={
            "data": "data/faces.parquet, train split, and newly drawn faces",
            "drawn": {str(seed): n for seed, n in DRAWN.items()},
            "validation": {str(seed): n for seed, n in VALIDATION.items()},
            "images": history.images,
            "minutes": round(history.seconds / 60, 1),
            "images_per_second": round(history.images / max(history.seconds, 1)),
            "device": str(settings.device()),
            "threads": torch.get_num_threads(),
            "precision": options.precision or "no",
            "seed": options.seed,
            "temperature": {
                name: round(float(value), 2)
                for name, value in zip(network.values, network.temperature, strict=True)
            },
            "accuracy_validation": {
                name: round(
                    sum(one[name].right for one in checked)
                    / sum(one[name].total for one in checked),
                    4,
                )
                for name in network.values
            },
            "accuracy_held_out": {row["attribute"]: round(row["accuracy"], 4) for row in rows},
            "command": " ".join(command),
        },
    )
    print(f"{path.name}: {history.images:,} images in {history.seconds / 60:.1f} minutes")
    print(
        "Every target is met." if met else "Not every target is met; see python -m course_lib.judge"
    )


if __name__ == "__main__":
    main()
