"""`course train dcgan`: from the data to a picture, and what it says when something is wrong."""

import inspect
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from course_lib import cli, dcgan, faces, judge, pretrained, settings, training


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)


def course(*words, status: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == status, result.output + str(result.exception)
    return result.output


def train(*words, status: int = 0) -> str:
    return course("train", "dcgan", "--preset", "quick", "--width", 4, *words, status=status)


def test_course_is_installed_as_a_command():
    command = os.path.join(os.path.dirname(sys.executable), "course")  # noqa: PTH118, PTH120
    done = subprocess.run([command, "train", "--help"], capture_output=True, text=True, check=True)
    assert "dcgan" in done.stdout


def test_it_trains_saves_goes_on_and_says_where_everything_is():
    said = train("--images", 320, "--save-every", 5, "--pictures-every", 5)
    assert "bundled: 5,400 pictures of 64 px" in said
    assert "1 × 32 = 32 of them a step: 10 steps" in said
    assert re.search(r"on cpu \(.*\), saved in runs/dcgan-quick", said)
    assert 'pretrained.load("generator", dcgan.Generator, "runs/dcgan-quick")' in said
    generator = pretrained.load("generator", dcgan.Generator, "runs/dcgan-quick")
    assert dcgan.paint(generator, torch.randn(2, 100)).shape == (2, 3, 64, 64)
    grids = sorted(path.name for path in (cli.Path("runs/dcgan-quick/pictures")).iterdir())
    assert grids == ["step-00000000.png", "step-00000005.png", "step-00000010.png"]

    said = train("--images", 640)
    assert "going on after step 10" in said
    assert pretrained.describe("generator", "runs/dcgan-quick")["training"]["images"] == 640


def test_it_is_the_training_of_the_lesson(tmp_path):
    train("--images", 128, "--precision", "no", "--out", "run")
    options = {"images": 128, "width": 4, "precision": "no", "progress": False}
    same = dcgan.load_or_train("quick", faces.load("train"), **options).generator
    found = pretrained.load("generator", dcgan.Generator, "run")
    for key, value in same.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def anime_faces(folder, number=40):
    """A stand-in laid out like the repository of huggan/anime-faces: one data.zip of PNGs."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (number, 70, 64, 3), dtype=np.uint8)
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for i, picture in enumerate(pixels):
            encoded = io.BytesIO()
            Image.fromarray(picture).save(encoded, "PNG")
            archive.writestr(f"data/{i}.png", encoded.getvalue())
    return folder


def fetched(monkeypatch, folder):
    """The Hub, answered from that folder: all of our own code for fetching runs."""
    import huggingface_hub
    from huggingface_hub.hf_api import DatasetInfo

    asked = []

    def info(_self, dataset, **_):
        asked.append(dataset)
        return DatasetInfo(id=dataset, siblings=[{"rfilename": "data.zip"}], tags=[])

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda _, name, **__: str(folder / name)
    )
    return asked


def test_preset_of_real_anime_faces_from_the_download_to_a_picture(monkeypatch, tmp_path):
    asked = fetched(monkeypatch, anime_faces(tmp_path / "hub"))
    said = course(
        "train", "dcgan", "--preset", "anime-faces", "--width", 4, "--images", 64,
        "--out", "anime",
    )  # fmt: skip
    assert asked == ["huggan/anime-faces"]
    assert "huggan/anime-faces: 40 pictures of 64 px" in said
    with Image.open("anime/pictures/step-00000002.png") as grid:
        assert grid.size == (16 * 64, 4 * 64)
        assert np.asarray(grid).std() > 0
    about = pretrained.describe("generator", "anime")["training"]
    assert about["data"] == "huggan/anime-faces"
    assert about["recipe"]["flip"]


@pytest.mark.slow
def test_128_pixels(tmp_path):
    said = train("--data", "drawn:40", "--size", 128, "--images", 64, "--out", "run")
    assert "drawn:40: 40 pictures of 128 px" in said
    generator = pretrained.load("generator", dcgan.Generator, "run")
    assert dcgan.paint(generator, torch.randn(1, 100)).shape == (1, 3, 128, 128)


@pytest.mark.slow
def test_streamed_data_train_as_those_in_memory(tmp_path):
    """From Parquet with workers, and from a folder of pictures: the same faces, the same end."""
    few = faces.load("train")[:64]
    few.save("faces.parquet")
    cli.Path("pictures").mkdir()
    for i, picture in enumerate(few.images):
        Image.fromarray(picture).save(f"pictures/{i:03}.png")
    common = ["--images", 256, "--precision", "no"]
    train("--data", "faces.parquet", "--workers", 2, *common, "--out", "a")
    train("--data", "pictures", "--stream", *common, "--out", "b")
    train("--data", cli.Path("pictures").resolve(), *common, "--out", "c")
    command = pretrained.describe("generator", "c")["training"]["command"]
    assert "--data pictures --images 256" in command.replace("--width 4 ", "")
    hashes = {pretrained.describe("generator", out)["sha256"] for out in ("a", "b", "c")}
    assert len(hashes) == 1


@pytest.mark.slow
def test_tensorboard_has_losses_and_pictures_and_no_second_curve(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ["--tensorboard", "--pictures-every", 50, "--out", "run"]
    train("--images", 32 * 60, *options)
    train("--images", 32 * 110, *options)
    events = EventAccumulator("run/logs", size_guidance={"scalars": 0, "images": 0}).Reload()
    assert [event.step for event in events.Scalars("loss_G")] == list(range(1, 111))
    assert events.Tags()["images"] == ["pictures"]
    assert [event.step for event in events.Images("pictures")] == [0, 50, 60, 100, 110]
    assert all(event.value > 0 for event in events.Scalars("images per second"))


def test_tensorboard_does_without_a_grid_that_is_lost(tmp_path):
    lost = training.Snapshot(1, np.zeros((0, 32, 32, 3), np.uint8), {"accuracy": 0.5})
    board = training.TensorBoard(tmp_path)
    board(training.History(4, {"loss": [1.0]}, [lost]))
    assert board.pictures == 1


def test_tensorboard_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    said = train("--tensorboard", "--images", 64, status=1)
    assert 'Error: TensorBoard is not installed: pip install "ai-painting-course[tensor' in said


def test_profile_says_where_the_time_goes():
    said = train("--profile", "--images", 32 * 20, "--out", "run")
    assert "10 steps took" in said
    shares = re.findall(r"^(getting the batch|the step|averaging) +([\d.]+)%", said, re.MULTILINE)
    assert len(shares) == 3
    assert 50 < float(dict(shares)["the step"]) < 100
    assert "convolution_backward" in said
    assert cli.Path("run/profile.json").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "anime"], "there is no preset 'anime'; the presets are\n  faces  "),
        (["--data", "no such folder/at all"], "There is no data set 'no such folder/at all'"),
        (["--data", "drawn:many"], "give a number of faces, such as drawn:20000"),
        (["--size", "128"], "bundled faces have 64 pixels, not 128"),
        (["--size", "50", "--data", "drawn:40"], "image_size 50 is not possible; choose one of"),
        (["--precision", "float8"], "precision 'float8' is unknown; choose"),
        (["--batch-size", "6000"], "a batch of 6000 is more than the 5400 images there are"),
        (["--data", "here.txt"], "here.txt is neither a folder of pictures nor a .parquet file"),
    ],
)
def test_bad_input_says_what_to_do_and_shows_no_traceback(words, message):
    cli.Path("here.txt").touch()
    said = train(*words, "--images", 64, status=1)
    assert message in said
    assert "Traceback" not in said


def test_another_training_in_the_folder():
    train("--images", 64, "--out", "run")
    said = train("--images", 128, "--seed", 1, "--out", "run", status=1)
    assert "run holds another training: seed 0 (now 1)" in said


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to wait for")
def test_sigterm_saves_and_the_command_goes_on():
    words = [sys.executable, "-m", "course_lib.cli", "train", "dcgan", "--preset", "quick"]
    words += ["--width", "4", "--images", "9999999", "--out", "run", "--workers", "1"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not cli.Path("run/pictures").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGTERM)  # as clusters do: to its worker, too
    said, _ = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    (step,) = map(int, re.findall(r"Stopped after step (\d+) of .*; saved in run", said))
    assert training.Checkpoints("run").steps() == [step]
    assert f"going on after step {step:,}" in train("--images", 32 * (step + 1), "--out", "run")


def test_version():
    assert re.fullmatch(r"course \d+\.\d+\.\d+\n", course("--version"))


def test_help_names_what_can_be_trained():
    said = course("train", "--help")
    assert {"dcgan", "judge", "text"} <= set(cli.rooms())
    assert all(room in said for room in cli.rooms())


def test_what_cannot_be_trained():
    said = course("train", "cyclops", status=1)
    assert (
        f"there is nothing to train named 'cyclops'; known: diffusion, {', '.join(cli.rooms())}"
        in said
    )


def test_rooms_are_found_however_presets_are_written():
    for text in (
        "PRESETS = {}",
        'PRESETS: dict[str, "Preset"] = {}',
        "import x\nfrom course_lib.x.learning import PRESETS, build",
        "from course_lib.x.learning import (\n    build,\n    PRESETS,\n)",
    ):
        assert cli.HAS_PRESETS.search(text), text
    for text in ("no PRESETS here", "from x import (\n    build,\n)\nPRESETSE = 1"):
        assert not cli.HAS_PRESETS.search(text), text


def test_a_wrong_setting_is_explained(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "toaster")
    assert "Error: COURSE_DEVICE is 'toaster'; known" in train("--images", 64, status=1)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*_words, **_options):
        raise ValueError("a mistake of the course's own")

    monkeypatch.setattr(dcgan, "build", broken)
    result = CliRunner().invoke(cli.app, ["train", "dcgan", "--preset", "quick"])
    assert isinstance(result.exception, ValueError)
    assert "Error:" not in result.output


def test_ctrl_c_in_the_last_step_still_writes_the_generator(monkeypatch):
    steps = itertools.count(1)
    step = dcgan.adversarial_step

    def interrupted_at_last(*words, **options):
        if next(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return step(*words, **options)

    monkeypatch.setattr(dcgan.learning, "adversarial_step", interrupted_at_last)
    train("--images", 64, "--out", "run")
    assert next(steps) == 3  # it was interrupted
    assert pretrained.names("run") == ["generator"]


def test_the_judge_is_trained_by_its_room_and_presets_alone(tmp_path):
    """A new training is added in one place: nothing outside course_lib/judge knows of this one."""
    words = ["--preset", "quick", "--images", 256, "--width", 4, "--out", "run"]
    said = course("train", "judge", *words)
    assert "bundled: 5,400 pictures of 64 px" in said
    assert 'pretrained.load("judge", judge.Judge, "run")' in said
    assert isinstance(pretrained.load("judge", judge.Judge, "run"), judge.Judge)
    assert pretrained.describe("judge", "run")["training"]["recipe"]["weight_decay"] == 0.02
    parts = (cli.rooms, cli.train, cli._train, cli._preset, cli._sizes, cli._announce, cli._finish)
    texts = [inspect.getsource(part) for part in parts]
    texts += [
        path.read_text(encoding="utf-8") for path in cli.Path(training.__file__).parent.glob("*.py")
    ]
    for text in texts:
        assert "judge" not in text.lower().replace("course_lib.judge", "")
    assert "judge has no --size" in course("train", "judge", "--size", 32, status=1)


def test_export_writes_weights_film_and_the_very_command(monkeypatch, tmp_path):
    """Into a copy of the course's data folder, with a shorter training than the preset's."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("faces.parquet", "anime-face-words.json", "anime-face.json"):
        (data / name).symlink_to(settings.data_dir() / name)
    monkeypatch.setattr(settings, "data_dir", lambda: data)
    words = ["--preset", "faces", "--width", 4, "--images", 640, "--precision", "no", "--export"]
    said = course("train", "dcgan", *words, "--out", "run")
    assert 'pretrained.load("faces-styled", dcgan.StyledGenerator)' in said
    about = pretrained.describe("faces-styled")
    expected = "course train dcgan --preset faces --images 640 --width 4 --precision no --export"
    assert about["training"]["command"] == expected
    assert about["film"]["steps"] == [0, 10, 20]
    assert set(about["film"]["measures"]) == {"D(x) learnt", "D(x) held out"}
    assert "no --export" in course("train", "dcgan", "--preset", "quick", "--export", status=1)
