"""The loop: equal to the article's, exact after an interruption, and no fault loses work."""

import errno
import itertools
import json
import signal
from functools import partial

import numpy as np
import pytest
import torch
from small import Small, small_networks
from torch import nn

from course_lib import dcgan, settings, training
from course_lib.files import digest, sha256
from course_lib.training.parts import restore_state, state_of


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


# The article's loop


def articles_loop(G, D, batches, rate, betas):
    """The loop of article.md 2.5 as the PyTorch tutorial writes it."""
    criterion = nn.BCELoss()
    optimizerD = torch.optim.Adam(D.parameters(), lr=rate, betas=betas)
    optimizerG = torch.optim.Adam(G.parameters(), lr=rate, betas=betas)
    printed = []
    for real in batches:
        D.zero_grad()
        label = torch.full((real.size(0),), 1.0, dtype=torch.float)
        output = D(real).view(-1)
        errD_real = criterion(output, label)
        errD_real.backward()
        D_x = output.mean().item()
        noise = torch.randn(real.size(0), 100, 1, 1)
        fake = G(noise)
        label.fill_(0.0)
        output = D(fake.detach()).view(-1)
        errD_fake = criterion(output, label)
        errD_fake.backward()
        D_G_z1 = output.mean().item()
        errD = errD_real + errD_fake
        optimizerD.step()
        G.zero_grad()
        label.fill_(1.0)
        output = D(fake).view(-1)
        errG = criterion(output, label)
        errG.backward()
        D_G_z2 = output.mean().item()
        optimizerG.step()
        printed.append((errD.item(), errG.item(), D_x, D_G_z1, D_G_z2))
    return printed


def test_tutorial_step_is_the_articles_loss_by_loss():
    batches = torch.rand(6, 16, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    G, D = small_networks()
    torch.manual_seed(2)
    expected = articles_loop(G, D, batches, 2e-4, (0.5, 0.999))

    G, D = small_networks()
    optimisers = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D)]
    torch.manual_seed(2)
    ours = [dcgan.tutorial_step(G, D, *optimisers, real) for real in batches]

    names = ("loss_D", "loss_G", "D(x)", "D(G(z)) before", "D(G(z)) after")
    ours = [[losses[name].item() for name in names] for losses in ours]
    assert np.abs(np.array(ours) - np.array(expected)).max() < 1e-6


def test_whole_training_with_the_tutorials_recipe_is_the_articles(few_faces):
    """`train` adds channels_last and fused Adam: the same losses up to rounding."""
    small = partial(dcgan.train, few_faces, width=4, image_size=32, seed=3, progress=False)
    recipe = dcgan.Recipe("tutorial", "batch", 2e-4, 2e-4, (0.5, 0.999), batch_size=8)
    history = small(recipe, images=48).history

    G, D = dcgan.networks(recipe, width=4, image_size=32, seed=3)
    batches = []
    training.fit(
        lambda batch: batches.append(batch.clone()) or {"loss": 0.0},
        few_faces, steps=6, batch_size=8, seed=3, progress=False,
    )  # fmt: skip
    torch.manual_seed(training.derive(3, "noise", 0))
    expected = articles_loop(G, D, batches, 2e-4, (0.5, 0.999))
    ours = list(zip(*history.losses.values(), strict=True))
    assert np.abs(np.array(ours) - np.array(expected)).max() < 1e-4


def test_freezing_the_discriminator_changes_nothing(few_faces):
    G, D = small_networks(normalization="none", sigmoid=False)
    real = few_faces.tensor(range(8))
    torch.manual_seed(0)
    optimisers = [torch.optim.SGD(net.parameters(), 0.0) for net in (G, D)]
    dcgan.adversarial_step(G, D, *optimisers, real, loss="bce")
    frozen = [p.grad.clone() for p in G.parameters()]

    torch.manual_seed(0)
    G.zero_grad()
    fakes = G(torch.randn(8, dcgan.NOISE_SIZE, 1, 1))
    dcgan.bce_generator_loss(D(fakes)).backward()
    assert all(
        torch.equal(p.grad, before) for p, before in zip(G.parameters(), frozen, strict=True)
    )
    assert all(p.requires_grad for p in D.parameters())


def test_gradient_penalty_is_half_the_squared_slope():
    slope = torch.randn(3, 4, 4)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    with torch.no_grad():
        judge[1].weight.copy_(slope.flatten())
    penalty = dcgan.gradient_penalty(judge, torch.randn(5, 3, 4, 4))
    assert penalty.item() == pytest.approx(slope.square().sum().item() / 2, rel=1e-5)


def test_losses_of_scores_are_those_of_probabilities():
    scores = torch.tensor([-3.0, 0.0, 2.0])
    entropy = nn.BCELoss()
    ones, zeros, p = torch.ones(3), torch.zeros(3), torch.sigmoid(scores)
    both = entropy(p, ones) + entropy(p, zeros)
    torch.testing.assert_close(dcgan.bce_discriminator_loss(scores, scores), both)
    torch.testing.assert_close(dcgan.bce_generator_loss(scores), entropy(p, ones))


def test_hinge_loss_has_had_enough_beyond_one():
    sure = torch.tensor([1.0, 5.0])
    assert dcgan.hinge_discriminator_loss(sure, -sure) == 0
    assert dcgan.hinge_discriminator_loss(torch.zeros(1), torch.zeros(1)) == 2


def test_unknown_loss_names_the_known_ones(few_faces):
    G, D = small_networks(sigmoid=False)
    optimisers = [torch.optim.SGD(net.parameters(), 0.1) for net in (G, D)]
    with pytest.raises(ValueError, match="'wasserstein' is unknown; choose one of hinge, bce"):
        dcgan.adversarial_step(G, D, *optimisers, few_faces.tensor(range(4)), loss="wasserstein")


def test_augment_moves_and_hides_and_lets_gradients_through():
    images = torch.rand(6, 3, 16, 16, requires_grad=True)
    assert torch.equal(dcgan.augment(images, shift=0, cutout=0), images)
    moved = dcgan.augment(images, shift=0.25)
    row, column = images[0].detach(), moved[0].detach()
    assert any(
        torch.equal(
            column[:, max(0, -d) : 16 - max(0, d), max(0, -r) : 16 - max(0, r)],
            row[:, max(0, d) : 16 + min(0, d), max(0, r) : 16 + min(0, r)],
        )
        for d, r in itertools.product(range(-4, 5), repeat=2)
    )
    hidden = dcgan.augment(images, shift=0, cutout=0.5)
    assert 0 < (hidden == 0).all(1).sum() <= 6 * 64
    (moved.sum() + hidden.sum()).backward()
    assert images.grad.isfinite().all()
    assert images.grad.max() > 0


# The average


def test_ema_warms_up_and_averages_buffers():
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    ema = training.EMA(network, decay=0.99)
    start = network[0].weight.item()
    with torch.no_grad():
        network[0].weight.fill_(10.0)
        network[1].running_mean.fill_(10.0)
        network[1].num_batches_tracked.fill_(7)
    ema.update()  # the first decay is 1/10
    assert ema.network[0].weight.item() == pytest.approx(0.1 * start + 9, rel=1e-6)
    assert ema.network[1].running_mean.item() == pytest.approx(9.0)
    assert ema.network[1].num_batches_tracked.item() == 7
    for _ in range(5000):
        ema.update()
    assert ema.network[0].weight.item() == pytest.approx(10.0)
    with pytest.raises(ValueError, match="decay is 1; choose"):
        training.EMA(network, decay=1)


def test_refreshed_batchnorm_has_the_statistics_of_its_inputs():
    layer = nn.BatchNorm1d(2).eval()
    batches = torch.randn(50, 32, 2) * 3 + 5
    training.refresh_batchnorm(layer, iter(batches))
    torch.testing.assert_close(layer.running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(layer.running_var, batches.var((0, 1)), rtol=0.1, atol=0)
    assert layer.momentum == 0.1
    assert not layer.training


# The loop


def test_every_image_once_an_epoch_in_another_order(few_faces):
    seen = []
    training.fit(
        lambda batch: seen.append(batch.mean((1, 2, 3))) or {"loss": 0.0},
        few_faces, steps=10, batch_size=8, progress=False,
    )  # fmt: skip
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.sort().values, second.sort().values)
    torch.testing.assert_close(
        first.sort().values, few_faces.tensor().mean((1, 2, 3)).sort().values
    )


def test_flip_mirrors_about_half(few_faces):
    batches = []
    note = lambda batch: batches.append(batch) or {"loss": 0.0}  # noqa: E731
    training.fit(note, few_faces, steps=5, batch_size=8, flip=True, progress=False)
    training.fit(note, few_faces, steps=5, batch_size=8, flip=False, progress=False)
    flipped, straight = torch.cat(batches[:5]), torch.cat(batches[5:])
    same = (flipped == straight).flatten(1).all(1)
    mirrored = (flipped == straight.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 8 < mirrored.sum() < 32


def test_history_has_losses_and_pictures(few_faces):
    small = Small()
    history = small.fit(
        few_faces, 7, pictures=small.pictures, pictures_every=3, watch=lambda: {"one": 1}
    )
    assert history.steps == 7
    assert history.images == 56
    assert [snapshot.step for snapshot in history.snapshots] == [0, 3, 6, 7]
    assert history.snapshots[0].pictures.shape == (4, 32, 32, 3)
    assert history.snapshots[0].measures == {"one": 1.0}
    assert history.mean("loss_D", last=2) == pytest.approx(np.mean(history.losses["loss_D"][-2:]))


def test_pictures_do_not_disturb_the_training(few_faces):
    with_pictures, without = Small(), Small()
    draw = lambda: with_pictures.pictures() + 0 * torch.randn(1)  # noqa: E731
    a = with_pictures.fit(few_faces, 5, pictures=draw, pictures_every=1)
    b = without.fit(few_faces, 5)
    assert a.losses == b.losses


def test_schedule_turns_the_rates_and_gives_them_back(few_faces):
    small, rates = Small(rate=0.1), []
    optimiser = small.keep["generator_optimiser"]

    def step(batch):
        rates.append(optimiser.param_groups[0]["lr"])
        return {"loss": batch.mean()}

    small.fit(few_faces, 4, step=step, schedule=training.linear_decay(0.5))
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05])
    assert optimiser.param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match="start is 1; choose"):
        training.linear_decay(1)


def test_without_a_schedule_the_rates_are_the_steps_own(few_faces):
    small, rates = Small(rate=0.1), []
    optimiser = small.keep["generator_optimiser"]
    falling = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5)

    def step(batch):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        falling.step()
        return {"loss": batch.mean()}

    small.fit(few_faces, 3, step=step)
    assert rates == pytest.approx([0.1, 0.05, 0.025])
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.0125)


def test_threads_that_it_ran_on_are_in_the_history(few_faces):
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert Small().fit(few_faces, 1).threads == 1  # a small network
    finally:
        torch.set_num_threads(usual)


def test_time_limit_ends_in_order(few_faces, tmp_path):
    history = Small().fit(few_faces, 10**6, max_minutes=0.5 / 60, folder=tmp_path)
    assert history.stopped == "out of time"
    assert 0 < history.steps < 10**6
    assert training.Checkpoints(tmp_path).steps() == [history.steps]


def test_the_given_clock_is_the_one_that_counts(few_faces):
    ticks = itertools.count()
    history = Small().fit(few_faces, 100, max_minutes=5 / 60, clock=lambda: next(ticks))
    assert history.steps == 6  # one tick a step; more than 5 s is enough
    assert history.seconds == 7  # and one at the end


def test_curve_is_the_mean_of_steps_that_follow_each_other():
    history = training.History(8, {"loss": [1.0, 3.0, 5.0, 7.0]})
    assert history.curve("loss", points=2) == [2.0, 6.0]
    assert history.curve("loss", points=9) == [1.0, 3.0, 5.0, 7.0]


def test_too_few_images(few_faces):
    with pytest.raises(ValueError, match="there are no images to train on"):
        Small().fit(few_faces[:0], 1)
    with pytest.raises(ValueError, match="a batch of 64 is more than the 40 images there are"):
        Small().fit(few_faces, 1, batch_size=64)


def test_step_that_returns_no_losses_is_told_so(few_faces):
    with pytest.raises(TypeError, match=r"must return its losses by name.*NoneType"):
        Small().fit(few_faces, 1, step=lambda batch: None)


def test_unknown_precision():
    with pytest.raises(ValueError, match="'float8' is unknown; choose"):
        training.make_accelerator("float8")


@pytest.mark.parametrize(
    ("able", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "no")],
)
def test_bf16_only_where_the_processor_has_it(monkeypatch, able, precision):
    monkeypatch.setattr(settings, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert training.fast_precision() == precision
    assert training.make_accelerator("auto").mixed_precision == precision


def test_unknown_budget_and_missing_data():
    with pytest.raises(
        ValueError, match="'huge' is unknown; choose one of pretrained, quick, full"
    ):
        dcgan.load_or_train("huge")
    with pytest.raises(ValueError, match="a quick training needs data"):
        dcgan.load_or_train("quick")


def test_quick_budget_trains_and_options_go_through(few_faces):
    trained = dcgan.load_or_train(
        "quick", few_faces, images=64, width=4, image_size=32, progress=False
    )
    assert trained.history.images == 64
    assert not trained.generator.training


def test_pretrained_comes_with_its_film():
    trained = dcgan.load_or_train("pretrained")
    assert trained.history.snapshots[0].step == 0
    assert trained.history.snapshots[-1].pictures.shape[1:] == (64, 64, 3)


# Checkpoints


def test_interrupted_training_equals_uninterrupted(few_faces, tmp_path):
    whole = Small()
    expected = whole.fit(few_faces, 13, pictures=whole.pictures, pictures_every=4)
    first = Small()
    first.fit(few_faces, 6, pictures=first.pictures, pictures_every=4, folder=tmp_path)
    torch.manual_seed(999)  # nothing of the first process is left
    second = Small(rate=1e-3)
    resumed = second.fit(few_faces, 13, pictures=second.pictures, pictures_every=4, folder=tmp_path)

    assert resumed.losses == expected.losses
    for name, value in whole.average.network.state_dict().items():
        assert torch.equal(value, second.average.network.state_dict()[name]), name
    pictures = {snapshot.step: snapshot.pictures for snapshot in resumed.snapshots}
    assert list(pictures) == [0, 4, 6, 8, 12, 13]
    for snapshot in expected.snapshots:
        assert np.array_equal(snapshot.pictures, pictures[snapshot.step])


def test_a_finished_training_is_not_done_again(few_faces, tmp_path):
    first = Small().fit(few_faces, 4, folder=tmp_path)
    again = Small().fit(few_faces, 4, folder=tmp_path, step=lambda batch: pytest.fail("trained"))
    assert again.losses == first.losses


def test_whole_training_resumes_exactly(few_faces, tmp_path):
    recipe = dcgan.Recipe("bce", "none", 1e-3, 1e-3, (0.0, 0.99), 8, 0.9, penalty=1.0, shift=0.1)
    small = partial(dcgan.train, few_faces, recipe, width=4, image_size=32, progress=False)
    whole = small(images=72)
    small(images=32, folder=tmp_path)
    resumed = small(images=72, folder=tmp_path)
    assert resumed.history.losses == whole.history.losses
    for name, value in whole.generator.state_dict().items():
        assert torch.equal(value, resumed.generator.state_dict()[name]), name


def test_checkpoints_are_plain_files_and_only_two_are_kept(few_faces, tmp_path):
    (tmp_path / ".step-00000002.safetensors.0123").touch()  # a process was killed as it wrote
    small = Small()
    small.fit(few_faces, 8, folder=tmp_path, save_every=2, pictures=small.pictures)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        ".lock",
        "pictures",
        "step-00000006.json",
        "step-00000006.safetensors",
        "step-00000008.json",
        "step-00000008.safetensors",
    ]


def damage(path, how):
    if how == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "tampered":
        content = bytearray(path.read_bytes())
        content[-50] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["torn", "tampered", "missing"])
def test_damaged_checkpoint_is_found_and_the_one_before_used(few_faces, tmp_path, how):
    expected = Small().fit(few_faces, 6)
    Small().fit(few_faces, 4, folder=tmp_path, save_every=2)
    damage(tmp_path / "step-00000004.safetensors", how)
    message = {"missing": "cannot be read"}.get(how, "does not have the hash it should")
    with pytest.warns(UserWarning, match=f"{message}.* The one before it is used"):
        resumed = Small().fit(few_faces, 6, folder=tmp_path)
    assert resumed.losses == expected.losses


def test_edited_json_is_found(few_faces, tmp_path):
    Small().fit(few_faces, 4, folder=tmp_path, save_every=2)
    path = tmp_path / "step-00000004.json"
    path.write_text(path.read_text().replace('"step": 4', '"step": 5'))
    with pytest.warns(UserWarning, match="was changed after it was written"):
        Small().fit(few_faces, 4, folder=tmp_path)


def test_no_whole_checkpoint_is_an_error_that_says_what_to_do(few_faces, tmp_path):
    Small().fit(few_faces, 2, folder=tmp_path)
    (tmp_path / "step-00000002.json").write_text("{")
    with (
        pytest.warns(UserWarning, match="cannot be read"),
        pytest.raises(
            training.CheckpointError, match=r"no checkpoint .* is whole: empty this folder"
        ),
    ):
        Small().fit(few_faces, 4, folder=tmp_path)


def test_nothing_pickled_is_ever_loaded(few_faces, tmp_path):
    Small().fit(few_faces, 2, folder=tmp_path)
    path = tmp_path / "step-00000002.safetensors"
    torch.save({"generator/main.0.weight": torch.zeros(1)}, path)
    about = json.loads((tmp_path / "step-00000002.json").read_text())
    about.pop("sha256")
    about["tensors_sha256"] = sha256(path)
    about["sha256"] = digest(about)
    (tmp_path / "step-00000002.json").write_text(json.dumps(about))
    with (
        pytest.warns(UserWarning, match="cannot be read"),
        pytest.raises(training.CheckpointError, match="is whole"),
    ):
        Small().fit(few_faces, 4, folder=tmp_path)


def test_checkpoint_of_another_training(few_faces, tmp_path):
    Small().fit(few_faces, 2, folder=tmp_path)
    with pytest.raises(training.CheckpointError, match=r"another training: seed 0 \(now 1\)"):
        Small().fit(few_faces, 4, folder=tmp_path, seed=1)
    other = Small()
    other.keep["generator"] = dcgan.Generator(width=8, image_size=32)
    with pytest.raises(training.CheckpointError, match="another generator"):
        other.fit(few_faces, 4, folder=tmp_path)


def test_nan_stops_and_names_the_last_good_checkpoint(few_faces, tmp_path):
    small = Small()
    calls = itertools.count(1)

    def step(batch):
        losses = small.step(batch)
        return losses | {"loss_G": losses["loss_G"] * (float("nan") if next(calls) >= 5 else 1)}

    message = (
        r"loss_G became nan at step 5.*half as large \(now 0.001, 0.001\)"
        r".*last good checkpoint is step-00000004 in"
    )
    with pytest.raises(training.BadLossError, match=message):
        small.fit(few_faces, 20, step=step, folder=tmp_path, save_every=2)
    assert training.Checkpoints(tmp_path).steps() == [2, 4]

    lower = Small(rate=5e-4)  # what the message says to try
    assert lower.fit(few_faces, 6, folder=tmp_path).steps == 6
    assert lower.keep["generator_optimiser"].param_groups[0]["lr"] == 5e-4


def test_spoilt_weights_are_never_saved(few_faces, tmp_path):
    small = Small()

    def step(batch):
        losses = small.step(batch)
        nn.init.constant_(small.G.main[0].weight, float("inf"))
        return losses

    message = "generator/main.0.weight is no longer finite.*no checkpoint in"
    with pytest.raises(training.BadLossError, match=message):
        small.fit(few_faces, 1, step=step, folder=tmp_path)
    assert not list(tmp_path.glob("step-*"))


def test_nan_without_a_folder_says_so(few_faces):
    with pytest.raises(
        training.BadLossError, match=r"loss became inf at step 1.*give `fit` a folder"
    ):
        training.fit(
            lambda batch: {"loss": float("inf")},
            few_faces, steps=1, batch_size=8, progress=False,
        )  # fmt: skip


def test_ctrl_c_saves_after_the_step(few_faces, tmp_path, capsys):
    small = Small()
    calls = itertools.count(1)

    def step(batch):
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return small.step(batch)

    history = small.fit(few_faces, 10, step=step, folder=tmp_path)
    assert history.stopped == "interrupted"
    assert history.steps == 3
    assert "Stopped after step 3 of 10; saved in" in capsys.readouterr().out
    assert Small().fit(few_faces, 10, folder=tmp_path).losses == Small().fit(few_faces, 10).losses


def test_ctrl_c_that_could_not_be_saved_is_not_called_saved(
    few_faces, tmp_path, capsys, monkeypatch
):
    def step(batch):
        signal.raise_signal(signal.SIGINT)
        return {"loss": 1.0}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training.Checkpoints, "_write", full)
    with pytest.raises(training.CheckpointError, match="the disk is full"):
        Small().fit(few_faces, 10, step=step, folder=tmp_path)
    assert "saved in" not in capsys.readouterr().out


class Captioned:
    """Images, and with each the number that it has."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def tensor(self, indices):
        return self.images.tensor(indices), torch.as_tensor(indices).clone()


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_with_the_images_comes_to_the_step(few_faces, workers):
    seen = []

    def step(batch):
        images, numbers = batch
        for image, number in zip(images, numbers, strict=True):
            original = few_faces.tensor([int(number)])[0]
            mirrored = torch.equal(image, original.flip(-1))
            assert mirrored or torch.equal(image, original)
            seen.append(mirrored)
        return {"loss": 0.0}

    options = {"steps": 6, "batch_size": 4, "flip": True, "progress": False, "workers": workers}
    training.fit(step, Captioned(few_faces), **options)
    assert set(seen) == {True, False}


def test_watching_needs_no_pictures(few_faces, tmp_path):
    def fit(steps):
        return training.fit(
            lambda batch: {"loss": batch.mean()},
            few_faces,
            steps=steps,
            batch_size=4,
            watch=lambda: {"accuracy": 0.5},
            pictures_every=2,
            folder=tmp_path,
            progress=False,
        )

    fit(2)
    history = fit(4)
    assert [snapshot.step for snapshot in history.snapshots] == [0, 2, 4]
    assert all(snapshot.measures == {"accuracy": 0.5} for snapshot in history.snapshots)
    assert not list(tmp_path.rglob("*.png"))


def test_a_step_must_return_the_same_names(few_faces):
    names = iter(["loss_D", "loss_G"])
    with pytest.raises(TypeError, match=r"returned \['loss_G'\], and before \['loss_D'\]"):
        training.fit(lambda _: {next(names): 0.0}, few_faces, steps=2, batch_size=4, progress=False)


def test_a_part_that_cannot_be_kept_is_refused_before_the_first_step(few_faces):
    with pytest.raises(TypeError, match="`keep` takes networks"):
        training.fit(
            lambda _: pytest.fail("!"), few_faces, steps=1, batch_size=4, keep={"scheduler": 3}
        )


def test_scale_of_fp16_goes_into_checkpoints_and_back():
    one, other = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (8.0, 4.0))
    state = json.loads(json.dumps(state_of(one)))
    restore_state(other, state)
    assert other.get_scale() == 8.0
    restore_state(other, {})
    assert other.get_scale() == 8.0


@pytest.mark.parametrize("engine", ["DEEPSPEED", "FSDP", "MEGATRON_LM"])
def test_engines_that_cut_networks_into_pieces_are_refused(monkeypatch, engine):
    monkeypatch.setenv(f"ACCELERATE_USE_{engine}", "true")
    with pytest.raises(ValueError, match=f"{engine} cuts the networks"):
        training.make_accelerator()
