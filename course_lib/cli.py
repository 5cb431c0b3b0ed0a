"""The course from a terminal: `course train dcgan --preset faces --out my-run`.

It runs the same trainings as the lessons, for those who outgrow the notebook: longer, on other
data, on a GPU or on several. Many processes: `torchrun --nproc_per_node 2 -m course_lib.cli train
dcgan …`, or `accelerate launch -m course_lib.cli train dcgan …` after `accelerate config`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

import course_lib
from course_lib.errors import CourseError
from course_lib.files import digest
from course_lib.teaching import commands

if TYPE_CHECKING:
    from course_lib.training import History, Preset, Training

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # flows each paragraph into the terminal's width
)

REPORT_EVERY = 20.0  # seconds between two lines, where there is no terminal for a progress bar
INTERRUPTED = 130  # the exit status of a program that Ctrl-C has ended


HAS_PRESETS = re.compile(r"^PRESETS\b|^from \S+ import (?:\([^)]*|.*)\bPRESETS\b", re.MULTILINE)


def rooms() -> list[str]:
    """The modules of the course that can be trained: those with `PRESETS`.

    They are found by their text, since importing them all is slow.
    """
    folder = Path(course_lib.__file__).parent
    fronts = [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
    found = [path for path in fronts if HAS_PRESETS.search(path.read_text(encoding="utf-8"))]
    return sorted(path.parent.name if path.stem == "__init__" else path.stem for path in found)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"course {metadata.version('ai-painting-course')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version, and end."
        ),
    ] = False,
) -> None:
    """The AI painting course from a terminal: paint and train, as the lessons do.

    `course paint "blue hair, cat ears"` is a good start; `course COMMAND --help` explains one.
    """
    for stream in (sys.stdout, sys.stderr):
        _know_every_letter(stream)


def _know_every_letter(stream: Any) -> None:
    """Windows writes into files and pipes in an old code page, which knows no ✓ and no Chinese."""
    try:
        "✓→眼".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        stream.reconfigure(encoding="utf-8")


SHORT = {"diffusion": "latent_diffusion"}  # a shorter name of a room
NAME_HELP = f"What to train: {', '.join([*SHORT, *rooms()])}."
PRESET_HELP = (
    "The settings that the other options then change. An unknown name lists those there are; "
    "without one the first is taken."
)
DATA_HELP = (
    "bundled; drawn:20000 for so many new drawings; a folder of pictures; a .parquet file or a "
    "folder of them; or a data set on the Hub. Default: the preset's."
)
STREAM_HELP = "Read pictures from the disk as they are needed, for data larger than memory."
OUT_HELP = "Folder for checkpoints, pictures and the result. Default: runs/NAME-PRESET."
THREADS_HELP = "Of a CPU, for networks that are not small. Default: all."
EXPORT_HELP = "Write the weights into the course's own, data/weights, with their manifest line."


@app.command()
def train(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=NAME_HELP)],
    preset: Annotated[str | None, typer.Option(help=PRESET_HELP)] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=OUT_HELP),
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Pictures to train on.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels: 32, 64 or 128.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Of the networks.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Of each process.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    precision: Annotated[
        str | None, typer.Option(help="auto, no, bf16 or fp16. Default: accelerate's, else auto.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help=THREADS_HELP),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help=STREAM_HELP)] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read ahead. Default: 2 with --stream.")
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints.")
    ] = None,
    pictures_every: Annotated[int | None, typer.Option(min=1, help="Steps between grids.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log to OUT/logs.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Tell where ten steps' time goes.")
    ] = False,
    export: Annotated[bool, typer.Option("--export", help=EXPORT_HELP)] = False,
) -> None:
    """Train a model of the course; the same command goes on where it was interrupted.

    Ctrl-C, or SIGTERM from a cluster, ends it in order: what is done is saved.
    """
    with _told_not_traced():
        # With an older typer, such as Colab's, paths in `context.params` are words.
        asked = SimpleNamespace(**context.params | {"name": SHORT.get(name, name), "out": out})
        stopped = _train(asked, _as_typed(context))
    if stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)


MODELS = {"diffusion": "latent_diffusion", "gan": "conditional_gan"}  # who paints → its room
MODEL_HELP = f"Who paints: {', '.join(MODELS)}."
PROMPT_HELP = (
    'What to paint, in English or Chinese: "red eyes, long blue hair", "红眼睛，蓝色长发".'
)
STEPS_HELP = "Looks of the diffusion model, from noise to picture. Default: 10."
GUIDANCE_HELP = "How much it minds the words: 1 as it has learnt, more exaggerates. Default: 2."
SIZE_HELP = "Pixels of a side, a multiple of 8; the diffusion model only. Default: 64."


@app.command()
def paint(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help=PROMPT_HELP)],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = next(iter(MODELS)),
    number: Annotated[int, typer.Option("-n", min=1, max=1024, help="Faces to paint.")] = 16,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture.")] = Path("painting.png"),
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    steps: Annotated[int | None, typer.Option(help=STEPS_HELP)] = None,
    guidance: Annotated[float | None, typer.Option(help=GUIDANCE_HELP)] = None,
    size: Annotated[int | None, typer.Option(help=SIZE_HELP)] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Print what the judge sees in each face.")
    ] = False,
) -> None:
    """Paint faces as a prompt says, into one picture.

    The file says how it was made: prompt, seed, model, steps, guidance, and what the judge found. A
    PNG as texts (Pillow: `Image.open(path).text`), the others as JSON in Exif's ImageDescription.
    """
    with _told_not_traced():
        _paint(SimpleNamespace(**context.params | {"out": out}))


def _paint(asked: SimpleNamespace) -> None:
    form = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if asked.model not in MODELS:
        raise CourseError(f"there is no model {asked.model!r}; known: {', '.join(MODELS)}")
    if asked.out.suffix.lower() not in form:
        raise CourseError(f"{asked.out} names no picture: end it with {', '.join(form)}")
    names = ("steps", "guidance", "size")
    options = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    if asked.model == "gan" and options:
        raise CourseError(f"the GAN paints in one step: it has no --{next(iter(options))}")
    from PIL import Image

    from course_lib import judge, pretrained, text
    from course_lib.files import atomic
    from course_lib.pixels import image_grid

    room = importlib.import_module(f"course_lib.{MODELS[asked.model]}")
    weights = next(preset.weights for preset in room.PRESETS.values() if preset.weights)
    took = pretrained.describe(weights)["training"]
    parts = [took, *filter(None, [took.get("before")])]  # a training may go on from another
    images, minutes = (sum(part[name] for part in parts) for name in ("images", "minutes"))
    typer.echo(
        f"{weights}: {images:,} images in {minutes:.0f} minutes "
        f"({took['device']}), {took['command']}"
    )
    painter = room.Painter()
    for line in text.remarks(painter.encoder.understand(asked.prompt)):
        typer.echo(line)
    with _watched(asked, options) as options, text.told_already():
        images = painter([asked.prompt] * asked.number, asked.seed, **options)
    verdicts = text.verdicts(images, asked.prompt) if images.shape[-1] == judge.SIZE else []
    kind = form[asked.out.suffix.lower()]
    notes = _notes(asked, weights, verdicts)
    with atomic(asked.out) as temporary:
        picture = Image.fromarray(image_grid(images))
        picture.save(temporary, format=kind, **_written(notes, kind))
    if asked.attributes:
        for i, (names, verdict) in enumerate(zip(judge.read(images).names, verdicts, strict=True)):
            seen = ", ".join(f"{name} {value}" for name, value in names.items())
            typer.echo(f"{i + 1}: {text.summary(verdict)}{' | ' if verdict else ''}{seen}")
    typer.echo(f"{asked.number} faces: {asked.out}")


def _notes(asked: SimpleNamespace, weights: str, verdicts: list[dict[str, bool]]) -> dict[str, str]:
    """What it takes to paint the picture again, and how well it is what was asked for."""
    from course_lib import pretrained
    from course_lib.latent_diffusion.painting import GUIDANCE, SIZE, STEPS

    about = pretrained.describe(weights)
    made_of = about.get("sha256") or digest(about["files"])
    notes = {
        "prompt": asked.prompt,
        "seed": asked.seed,
        "number": asked.number,
        "model": weights,
        "weights": made_of[:12],
        "Software": f"ai-painting-course {metadata.version('ai-painting-course')}",
    }
    if asked.model == "diffusion":
        own = {"steps": STEPS, "guidance": GUIDANCE, "size": SIZE}
        given = {name: getattr(asked, name) for name in own}
        notes |= {name: own[name] if given[name] is None else given[name] for name in own}
    for words in verdicts[0] if verdicts else ():
        right = sum(verdict[words] for verdict in verdicts)
        notes[f"judge: {words}"] = f"{right} of {len(verdicts)}"
    return {name: str(value) for name, value in notes.items()}


def _written(notes: dict[str, str], form: str) -> dict[str, Any]:
    """Options of Pillow's `save` that put the notes into the file: PNG's texts, or Exif's."""
    from PIL import ExifTags, Image
    from PIL.PngImagePlugin import PngInfo

    if form == "PNG":
        written = PngInfo()
        for name, value in notes.items():
            written.add_itxt(name, value)
        return {"pnginfo": written}
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = json.dumps(notes)
    return {"exif": exif}


@contextmanager
def _watched(asked: SimpleNamespace, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The painter's options, with a bar of its steps where there is a terminal to draw it in."""
    if asked.model == "gan":
        yield options
        return
    from tqdm import tqdm

    from course_lib.latent_diffusion.painting import STEPS

    looks = asked.number * options.get("steps", STEPS)
    with tqdm(total=looks, unit="look", leave=False, disable=not sys.stderr.isatty()) as bar:
        yield options | {"watch": bar.update}


def _train(asked: SimpleNamespace, command: str) -> str:
    """Do what was asked; returns why it stopped early, or ""."""
    import torch

    from course_lib import faces, training

    room, preset_name, preset = _preset(asked.name, asked.preset)
    sizes = _sizes(asked, room, preset)
    recipe = replace(preset.recipe, batch_size=asked.batch_size or preset.recipe.batch_size)
    images, source = asked.images or preset.images, asked.data or preset.data
    out = asked.out or Path("runs") / f"{asked.name}-{preset_name}"
    weights = _exported(preset, asked.preset) if asked.export else None
    precision = asked.precision
    if precision is None:  # `accelerate launch` always says which
        precision = None if "ACCELERATE_MIXED_PRECISION" in os.environ else "auto"
    if asked.threads:
        torch.set_num_threads(asked.threads)

    pictures = faces.find(source, sizes.get("image_size", 64), asked.stream)
    plan = room.build(pictures, recipe, seed=asked.seed, precision=precision, **sizes)
    main = plan.accelerator.is_main_process
    if main:
        _announce(plan, source, images, out)
    profiler = nullcontext()
    if asked.profile and main:
        profiler = training.step_profiler(typer.echo, out / "profile.json")
    board = training.TensorBoard(out / "logs") if asked.tensorboard else None
    given = {"save_every": asked.save_every, "pictures_every": asked.pictures_every}
    options = dict(preset.fit) | {name: value for name, value in given.items() if value}
    with _sigterm_as_ctrl_c(), profiler as watching:
        history = plan.fit(
            images,
            folder=out,
            max_minutes=asked.minutes,
            workers=(2 if asked.stream else 0) if asked.workers is None else asked.workers,
            report=_reports(images, board),
            profiler=watching,
            progress=sys.stderr.isatty(),
            **options,
        )
    if main and history.stopped != "interrupted":
        _finish(plan, history, asked.name, source, out, weights, command)
    training.leave(plan.accelerator, INTERRUPTED if history.stopped == "interrupted" else 0)
    return history.stopped


def _as_typed(context: typer.Context) -> str:
    """The command that makes these weights again: what changes them, as it was typed."""
    words = ["course", "train", context.params["name"]]
    for option in context.command.params[1:]:
        typed = context.get_parameter_source(option.name).name == "COMMANDLINE"
        if typed and option.name not in ("name", "out", "tensorboard", "profile"):
            value = context.params[option.name]
            if option.name == "data" and Path(value).exists():
                value = Path(value).name  # no path of this machine
            words += [option.opts[0]] if value is True else [option.opts[0], str(value)]
    return shlex.join(words)


def _preset(name: str, preset: str | None) -> tuple[ModuleType, str, Preset]:
    """The room of that name, and its preset; without a name its first one."""
    known = [*SHORT, *rooms()]
    if name not in known:
        raise CourseError(f"there is nothing to train named {name!r}; known: {', '.join(known)}")
    name = SHORT.get(name, name)
    room = importlib.import_module(f"course_lib.{name}")
    preset = preset or next(iter(room.PRESETS))
    if preset not in room.PRESETS:
        lines = [f"  {key:12} {known.about}" for key, known in room.PRESETS.items()]
        raise CourseError("\n".join([f"there is no preset {preset!r}; the presets are", *lines]))
    return room, preset, room.PRESETS[preset]


def _sizes(asked: SimpleNamespace, room: ModuleType, preset: Preset) -> dict[str, Any]:
    """The preset's sizes, changed by --size and --width."""
    sizes = dict(preset.sizes)
    known = inspect.signature(room.build).parameters
    for option, name in (("size", "image_size"), ("width", "width")):
        value = getattr(asked, option)
        if value is not None and name not in known:
            raise CourseError(f"{asked.name} has no --{option}: it comes in one only")
        sizes |= {name: value} if value is not None else {}
    if asked.data or asked.size:  # what is held out is of the preset's own pictures
        sizes.pop("held_out", None)
    return sizes


def _exported(preset: Preset, name: str | None) -> str:
    if not preset.weights:
        raise CourseError(f"the weights of preset {name} are not among the course's: no --export")
    return preset.weights


def _announce(plan: Training, source: str, images: int, out: Path) -> None:
    """What is trained on what, where, and how long; before the first step."""
    from course_lib import training

    size = plan.recipe.batch_size
    bits = plan.accelerator.mixed_precision
    typer.echo(f"{source}: {len(plan.data):,} pictures of {_side(plan)} px")
    typer.echo(
        f"{plan.accelerator.num_processes} × {size} = {plan.together} of them a step: "
        f"{-(-images // plan.together):,} steps"
    )
    typer.echo(
        f"on {plan.accelerator.device.type} ({'32 bits' if bits == 'no' else bits}), saved in {out}"
    )
    if done := training.Checkpoints(out).steps():
        typer.echo(f"going on after step {done[-1]:,}")


def _side(plan: Training) -> int:
    """Pixels of a side."""
    batch = plan.data.tensor([0])
    return (batch[0] if isinstance(batch, tuple) else batch).shape[-1]


def _finish(
    plan: Training,
    history: History,
    room: str,
    source: str,
    out: Path,
    weights: str | None,
    command: str,
) -> None:
    """Write the network for `pretrained.load` and say where everything is."""
    from course_lib import pretrained

    network = plan.result()
    kind = type(network).__name__
    name, folder = (weights, None) if weights else (kind.lower(), out)
    given = Path(source)
    about = {
        "training": {
            "data": given.name if given.exists() else source,  # no path of this machine
            **plan.took(history),
            **(plan.figures(network) if weights else {}),
            "command": command,
        },
        "film": pretrained.choose_moments(history.snapshots) if weights else [],
        "folder": folder,
    }
    if weights and getattr(plan.recipe, "begin", "") == weights:
        about |= pretrained.continued(weights, about["training"], about["film"])
    where = "" if weights else f', "{out.as_posix()}"'
    if plan.write:
        path = pretrained.save_folder(name, partial(plan.write, network), **about)
        again = f'{room}.load_painter("{name}"{where})'
    else:
        path = pretrained.save(name, network, config=plan.config, **about)
        again = f'pretrained.load("{name}", {room}.{kind}{where})'
    typer.echo(f"{history.images:,} pictures in {history.seconds / 60:.1f} minutes")
    if history.stopped:
        typer.echo(f"Stopped: {history.stopped}. The same command with more --minutes goes on.")
    typer.echo(f"{name:10} {path}")
    if history.snapshots:
        typer.echo(f"pictures   {out / 'pictures'}")
    typer.echo(f"in Python  {again}")


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


@contextmanager
def _told_not_traced() -> Iterator[None]:
    """What the course can explain ends the program with its message; a bug keeps its traceback.

    An OSError (a full disk, a folder of someone else's) is no bug either.
    """
    try:
        yield
    except (CourseError, OSError) as error:
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


commands.add(app, _told_not_traced)

if __name__ == "__main__":
    app()
