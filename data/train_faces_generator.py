"""Train the course's generator, whose weights are committed in `data/weights`.

    python data/train_faces_generator.py --run ~/run --minutes 80

(The two that lesson 3 compares come from `benchmarks/gan.py`.) Checkpoints are saved in the folder
`--run` as it goes; the same command goes on after an interruption. At the end (of the images or of
the minutes, whichever comes first) the generator, its film and its entry in the manifest are
written to `data/weights`. `--export-only` writes what a run has so far.
"""

import argparse
import dataclasses

import numpy as np
import torch

from course_lib import dcgan, faces, pretrained, settings, training

NAME = dcgan.PRETRAINED
RECIPE = dataclasses.replace(dcgan.R1, average=0.999, decay_from=0.6)  # a calm, long end
WIDTH = 32
IMAGES = 3_000_000  # at most
FILM_FACES = 32
EARLY = {10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 900}
MOMENTS = 25  # of the film


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="folder for the checkpoints")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("auto", "no", "bf16"), default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--export-only", action="store_true", help="write what the run has so far")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    precision = training.fast_precision() if options.precision == "auto" else options.precision

    generator, history = dcgan.train(
        faces.load("train"),
        RECIPE,
        images=0 if options.export_only else IMAGES,
        width=WIDTH,
        seed=options.seed,
        held_out=faces.load("held-out"),
        precision=precision,
        folder=options.run,
        max_minutes=options.minutes,
        pictures_every=EARLY | set(range(1000, IMAGES, 1000)),
        save_every=1000,
    )
    if history.stopped == "interrupted":
        return  # go on with the same command
    if not history.steps:
        raise SystemExit(f"{options.run} holds no checkpoint to export")

    path = pretrained.save(
        NAME,
        generator,
        config={"width": WIDTH},
        training={
            "data": "data/faces.parquet, train split",
            "images": history.images,
            "minutes": round(history.seconds / 60, 1),
            "images_per_second": round(history.images / history.seconds),
            "device": str(settings.device()),
            "threads": torch.get_num_threads(),
            "precision": precision,
            "seed": options.seed,
            "recipe": dataclasses.asdict(RECIPE),
            "losses": {name: history.curve(name) for name in history.losses},
            "command": "python data/train_faces_generator.py",
        },
        film=film(history.snapshots),
    )
    print(f"{path.name}: {history.images:,} images in {history.seconds / 60:.0f} minutes")


def film(snapshots: list[training.Snapshot]) -> list[training.Snapshot]:
    """Some moments, closer together at the beginning, and some faces of each."""
    steps = np.array([snapshot.step for snapshot in snapshots])
    wanted = steps[-1] * np.linspace(0, 1, MOMENTS) ** 3
    chosen = sorted({int(np.abs(steps - step).argmin()) for step in wanted})
    return [
        dataclasses.replace(snapshots[i], pictures=snapshots[i].pictures[:FILM_FACES])
        for i in chosen
    ]


if __name__ == "__main__":
    main()
