"""What a training that goes on must notice, and what it must not trip over."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import Small
from torch import nn

from course_lib import dcgan, training
from course_lib.faces import Faces

RECIPE = dcgan.Recipe("bce", "none", 1e-3, 1e-3, (0.0, 0.99), batch_size=8)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture
def other_faces(few_faces):
    """As many, of the same size, and others."""
    return Faces(few_faces.images[::-1].copy(), name="other")


def train(data, recipe=RECIPE, *, images, **options):
    options = {"width": 4, "image_size": 32, "progress": False} | options
    return dcgan.train(data, recipe, images=images, **options)


def test_other_pictures_are_refused(few_faces, other_faces, tmp_path):
    Small().fit(few_faces, 3, folder=tmp_path)
    with pytest.raises(training.CheckpointError, match=r"holds another training: data \w+ \(now"):
        Small().fit(other_faces, 6, folder=tmp_path)


class Bare:
    """A data set of a student's own: it has no fingerprint."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def tensor(self, indices):
        return self.images[torch.as_tensor(np.asarray(indices))]


class Latents(Bare):
    """Four channels, any values: no pictures."""


class Cropped(Bare):
    """Others each time that one asks."""

    def tensor(self, indices):
        return super().tensor(indices) + 0.1 * torch.randn(1)


def count(batch):
    return {"loss": float(len(batch))}


def test_latents_are_known_again(tmp_path):
    latents = 5 * torch.randn(40, 4, 8, 8)
    options = {"batch_size": 8, "folder": tmp_path, "progress": False}
    training.fit(count, Latents(latents), steps=2, **options)
    assert training.fit(count, Latents(latents), steps=3, **options).steps == 3
    with pytest.raises(training.CheckpointError, match="another training: data"):
        training.fit(count, Latents(latents + 1), steps=4, **options)


def test_data_that_changes_by_chance_can_go_on(tmp_path):
    data = Cropped(torch.rand(40, 3, 32, 32) * 2 - 1)
    Small().fit(data, 3, folder=tmp_path)
    assert Small().fit(data, 4, folder=tmp_path).steps == 4


def test_nothing_is_read_for_a_fingerprint_that_nobody_keeps(few_faces, monkeypatch):
    monkeypatch.setattr(Faces, "fingerprint", lambda _: pytest.fail("asked"))
    Small().fit(few_faces, 1)


def test_a_recipe_that_no_checkpoint_can_hold_is_refused_at_once(few_faces, tmp_path):
    with pytest.raises(TypeError, match="a recipe consists of numbers, texts"):
        Small().fit(few_faces, 1, folder=tmp_path, recipe={"loss": torch.relu})
    assert not list(tmp_path.glob("step-*"))


def test_other_pictures_without_a_fingerprint_are_refused(tmp_path):
    images = torch.rand(40, 3, 32, 32) * 2 - 1
    Small().fit(Bare(images), 3, folder=tmp_path)
    Small().fit(Bare(images), 4, folder=tmp_path)
    with pytest.raises(training.CheckpointError, match="another training: data"):
        Small().fit(Bare(images.flip(0)), 6, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"loss": "hinge"}, r"recipe\.loss bce \(now hinge\)"),
        ({"penalty": 1.0}, r"recipe\.penalty 0\.0 \(now 1\.0\)"),
        ({"betas": (0.5, 0.9)}, r"recipe\.betas \[0\.0, 0\.99\] \(now \[0\.5, 0\.9\]\)"),
    ],
)
def test_another_recipe_is_refused_by_the_name_of_what_differs(few_faces, tmp_path, change, named):
    train(few_faces, images=24, folder=tmp_path)
    with pytest.raises(training.CheckpointError, match=named):
        train(few_faces, replace(RECIPE, **change), images=48, folder=tmp_path)


def test_learning_rates_may_change_as_the_advice_says(few_faces, tmp_path):
    train(few_faces, images=24, folder=tmp_path)
    lower = replace(RECIPE, generator_rate=5e-4, discriminator_rate=5e-4)
    assert train(few_faces, lower, images=48, folder=tmp_path).history.steps == 6


def test_a_stray_copy_of_a_checkpoint_does_not_matter(few_faces, tmp_path):
    Small().fit(few_faces, 4, folder=tmp_path)
    shutil.copy(tmp_path / "step-00000004.json", tmp_path / "step-00000004 (1).json")
    assert Small().fit(few_faces, 6, folder=tmp_path).steps == 6
    assert training.Checkpoints(tmp_path).steps() == [4, 6]


def test_a_checkpoint_of_the_old_layout_is_refused_with_the_reason(few_faces, tmp_path):
    from course_lib.files import digest

    Small().fit(few_faces, 2, folder=tmp_path)
    path = tmp_path / "step-00000002.json"
    about = json.loads(path.read_text()) | {"format": 2}
    del about["sha256"]
    path.write_text(json.dumps(about | {"sha256": digest(about)}))
    message = r"another version of the course \(checkpoints of format 2, here 3\)"
    with pytest.raises(training.CheckpointError, match=message):
        Small().fit(few_faces, 4, folder=tmp_path)


def test_ctrl_c_in_the_last_step_interrupts_nothing(few_faces):
    small = Small()

    def step(batch):
        if small.average.updates == 3:
            signal.raise_signal(signal.SIGINT)
        return small.step(batch)

    history = small.fit(few_faces, 4, step=step)
    assert history.steps == 4
    assert history.stopped == ""


def test_a_schedule_of_ones_own_wins_over_the_recipes(few_faces):
    asked = []

    def schedule(progress):
        asked.append(progress)
        return 1.0

    train(few_faces, replace(RECIPE, decay_from=0.5), images=32, schedule=schedule)
    assert asked == [0.0, 0.25, 0.5, 0.75]


def test_film_noise_and_statistics_are_not_drawn_from_one_seed(few_faces):
    """Otherwise the film shows the very noise that the first step learns from."""
    given = []

    def note(module, inputs):
        if isinstance(module, dcgan.Generator):
            given.append(inputs[0].flatten(1).clone())

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        train(few_faces, images=8, pictures_every=1)
    finally:
        hook.remove()
    rows = torch.unique(torch.cat(given), dim=0)  # film and statistics come again, as they should
    first = torch.unique(rows[:, :4], dim=0)
    assert len(first) == len(rows)  # no noise begins as another does
    assert len(rows) == 64 + 8 * 64 + 8


def test_seeds_of_purposes_processes_and_epochs_differ():
    purposes = ("weights", "film", "noise", "order", "statistics", "penalty")
    seeds = {
        training.derive(seed, purpose, number)
        for seed in range(3)
        for purpose in purposes
        for number in range(4)
    }
    assert len(seeds) == 3 * 6 * 4
    assert training.derive(5, "noise", 1) == training.derive(5, "noise", 1)
    spawned = np.random.SeedSequence(5).spawn(3)[2].spawn(2)[1].generate_state(1, np.uint64)[0]
    assert training.derive(5, "noise", 1) == int(spawned >> 1)
    with pytest.raises(ValueError, match="seed is -1; choose 0 or more"):
        training.derive(-1, "noise")


def test_the_device_may_change_between_two_trainings(monkeypatch):
    from accelerate.state import PartialState

    training.make_accelerator()
    PartialState._shared_state["device"] = torch.device("meta")  # as if the first was on a GPU
    assert training.make_accelerator().device == torch.device("cpu")


def test_small_networks_train_on_one_thread_and_give_the_others_back(few_faces):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []
        small = Small()
        step = lambda batch: seen.append(torch.get_num_threads()) or small.step(batch)  # noqa: E731
        small.fit(few_faces, 2, step=step)
        large = nn.Linear(1000, 1000)
        small.fit(few_faces, 1, step=step, keep={"large": large})
        assert seen == [1, 1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "images is 0; choose how many"),
        ({"images": 8, "width": 0}, "width is 0; choose 1 or more"),
    ],
)
def test_nothing_to_train_on_or_with(few_faces, options, message):
    with pytest.raises(ValueError, match=message):
        train(few_faces, **options)


def test_options_win_over_what_was_built(few_faces):
    plan = dcgan.build(few_faces, RECIPE, width=4, image_size=32)
    history = plan.fit(16, pictures=None, progress=False)
    assert history.snapshots == []
