"""The course from a terminal: `course train dcgan --preset faces --out my-run`.

It runs the same training as lesson 3, for those who outgrow the notebook: longer, on other data, on
a GPU or on several. Many processes: `torchrun --nproc_per_node 2 -m course_lib.cli train dcgan …`,
or `accelerate launch -m course_lib.cli train dcgan …` after `accelerate config`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from course_lib.dcgan import Recipe, Trained
    from course_lib.training import Data, History

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
train = typer.Typer(no_args_is_help=True, help="Train a model of the course.")
app.add_typer(train, name="train")

REPORT_EVERY = 20.0  # seconds between two lines, where there is no terminal for a progress bar
INTERRUPTED = 130  # the exit status of a program that Ctrl-C has ended


@app.callback()
def main() -> None:
    """The AI painting course from a terminal."""


@dataclass(frozen=True)
class Preset:
    """A training that is known to work: data, recipe, sizes and length."""

    about: str
    data: str
    recipe: Recipe
    width: int
    images: int
    size: int = 64


def presets() -> dict[str, Preset]:
    """The presets of `course train dcgan`, by name."""
    from course_lib.dcgan import R1, TUTORIAL

    calm = replace(R1, average=0.999, decay_from=0.6)
    return {
        "quick": Preset("seconds: it has only begun", "bundled", R1, 24, 4_000),
        "faces": Preset("the course's generator, an hour on a CPU", "bundled", calm, 32, 600_000),
        "tutorial": Preset("the article's recipe", "bundled", TUTORIAL, 64, 1_000_000),
        "anime-faces": Preset(
            "21,551 collected faces from the Hub, for a GPU",
            "huggan/anime-faces",
            calm,
            64,
            2_000_000,
        ),
    }


PRESET_HELP = "quick, faces, tutorial or anime-faces: " + (
    "the settings that the other options then change."
)
DATA_HELP = (
    "bundled; drawn:20000 for so many new drawings; a folder of pictures; a .parquet file or a "
    "folder of them; or a data set on the Hub. Default: the preset's."
)
STREAM_HELP = "Read pictures from the disk as they are needed, for data larger than memory."


@train.command("dcgan")
def train_dcgan(
    preset: Annotated[str, typer.Option(help=PRESET_HELP)] = "faces",
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints, pictures and the result. Default: runs/PRESET."),
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Pictures to train on.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels: 32, 64 or 128.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Of both networks.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Of each process.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    precision: Annotated[
        str | None, typer.Option(help="auto, no, bf16 or fp16. Default: accelerate's, else auto.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help=STREAM_HELP)] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read ahead. Default: 2 with --stream.")
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    pictures_every: Annotated[int, typer.Option(min=1, help="Steps between grids.")] = 500,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log to OUT/logs.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Tell where ten steps' time goes.")
    ] = False,
) -> None:
    """Train lesson 3's GAN; the same command goes on where it was interrupted.

    Ctrl-C, or SIGTERM from a cluster, ends it in order: what is done is saved.
    """
    with _told_not_traced():
        from course_lib import dcgan, training

        chosen = _preset(preset)
        recipe = replace(chosen.recipe, batch_size=batch_size or chosen.recipe.batch_size)
        size, width, images = size or chosen.size, width or chosen.width, images or chosen.images
        out = out or Path("runs") / preset
        source = data or chosen.data
        if precision is None:  # `accelerate launch` always says which
            precision = None if "ACCELERATE_MIXED_PRECISION" in os.environ else "auto"
        accelerator = training.make_accelerator(precision)
        pictures = load_data(source, size, stream)
        say = typer.echo if accelerator.is_main_process else _silence

        together = recipe.batch_size * accelerator.num_processes
        say(f"{source}: {len(pictures):,} pictures of {size} px")
        say(
            f"{accelerator.num_processes} × {recipe.batch_size} = {together} of them a step: "
            f"{-(-images // together):,} steps"
        )
        say(f"on {accelerator.device.type} ({_bits(accelerator.mixed_precision)}), saved in {out}")
        if done := training.Checkpoints(out, {}, {}).steps():
            say(f"going on after step {done[-1]:,}")
        profiler = nullcontext()
        if profile and accelerator.is_main_process:
            profiler = training.step_profiler(typer.echo, out / "profile.json")
        out.mkdir(parents=True, exist_ok=True)
        with _sigterm_as_ctrl_c(), profiler as watching:
            trained = dcgan.train(
                pictures,
                recipe,
                images=images,
                width=width,
                image_size=size,
                seed=seed,
                precision=precision,
                folder=out,
                max_minutes=minutes,
                save_every=save_every,
                pictures_every=pictures_every,
                workers=(2 if stream else 0) if workers is None else workers,
                report=_reports(
                    images, training.TensorBoard(out / "logs") if tensorboard else None
                ),
                profiler=watching,
                progress=sys.stderr.isatty(),
            )
        if accelerator.is_main_process and trained.history.stopped != "interrupted":
            _finish(trained, out, source, recipe, width, size)
        interrupted = trained.history.stopped == "interrupted"
        accelerator.end_training()
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def load_data(source: str, size: int, stream: bool = False) -> Data:
    """The pictures that `--data` names; FacesError when there are none."""
    from course_lib import faces

    kind, _, number = source.partition(":")
    if source == "bundled":
        if size != 64:
            raise faces.FacesError(
                f"the bundled faces have 64 pixels, not {size}: take --data drawn:6000"
            )
        return faces.load("train")
    if kind == "drawn":
        if not number.isdecimal():
            raise faces.FacesError(f"{source!r}: give a number of faces, such as drawn:20000")
        return faces.render(int(number), size=size)
    path = Path(source).expanduser()
    of_parquet = path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet")))
    if stream or of_parquet:
        return faces.stream(path if path.exists() else source, size=size)
    if path.is_dir() and not any(path.glob("*.zip")):
        return faces.from_folder(path, size=size)
    if path.exists() and not path.is_dir():
        raise faces.FacesError(f"{path} is neither a folder of pictures nor a .parquet file")
    return faces.from_hub(path if path.is_dir() else source, size=size)


def _preset(name: str) -> Preset:
    known = presets()
    if name not in known:
        lines = [f"  {key:12} {preset.about}" for key, preset in known.items()]
        raise ValueError("\n".join([f"there is no preset {name!r}; the presets are", *lines]))
    return known[name]


def _finish(
    trained: Trained, out: Path, source: str, recipe: Recipe, width: int, size: int
) -> None:
    """Write the generator for `pretrained.load` and say where everything is."""
    from course_lib import pretrained, settings

    history = trained.history
    about = {
        "data": Path(source).name if Path(source).exists() else source,  # no path of this machine
        "recipe": asdict(recipe),
        "images": history.images,
        "minutes": round(history.seconds / 60, 1),
        "device": str(settings.device()),
    }
    config = {"width": width, "image_size": size}
    path = pretrained.save(
        "generator", trained.generator, config=config, training=about, folder=out
    )
    typer.echo(f"{history.images:,} pictures in {history.seconds / 60:.1f} minutes")
    if history.stopped:
        typer.echo(f"Stopped: {history.stopped}. The same command with more --minutes goes on.")
    typer.echo(f"generator  {path}")
    typer.echo(f"pictures   {out / 'pictures'}")
    typer.echo(f'in Python  pretrained.load("generator", dcgan.Generator, "{out.as_posix()}")')


def _reports(images: int, board: Callable[[History], None] | None) -> Callable[[History], None]:
    """What `fit` reports to: TensorBoard, and a line now and then where no bar can be drawn."""
    told = 0.0

    def report(history: History) -> None:
        nonlocal told
        if board:
            board(history)
        if sys.stderr.isatty() or history.seconds - told < REPORT_EVERY:
            return
        told = history.seconds
        losses = ", ".join(
            f"{name} {history.mean(name):.2f}" for name in history.losses if name.startswith("loss")
        )
        typer.echo(
            f"step {history.steps:,}: {history.images:,} of {images:,} pictures, {losses}, "
            f"{history.images / history.seconds:.0f} images/s"
        )

    return report


def _bits(precision: str) -> str:
    return "32 bits" if precision == "no" else precision


def _silence(_text: str) -> None:
    """What all processes but the main one say."""


@contextmanager
def _told_not_traced() -> Iterator[None]:
    """What the course can explain ends the program with its message, and without a traceback."""
    from course_lib.faces import FacesError
    from course_lib.pretrained import PretrainedError
    from course_lib.training import TrainingError

    try:
        yield
    except (TrainingError, FacesError, PretrainedError, ImportError, OSError, ValueError) as error:
        rank = os.environ.get("RANK", "0")
        where = f" (process {rank})" if rank != "0" else ""
        typer.echo(f"Error{where}: {error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Clusters and `kill` send SIGTERM before they use force: time enough for a checkpoint."""
    usual = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


if __name__ == "__main__":
    app()
