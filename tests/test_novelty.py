"""Nearest known faces, and painters of halves."""

import numpy as np
import pytest
import torch

from course_lib import faces, novelty
from course_lib import latent_diffusion as ld
from course_lib.errors import CourseError


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture(scope="module")
def learnt():
    return faces.load("train")[:400]


@pytest.fixture(scope="module")
def unseen():
    return faces.load("held-out")


# Nearest


@pytest.mark.parametrize("space", novelty.SPACES)
def test_a_copy_is_found_and_a_stranger_is_not(space, learnt, unseen):
    known = novelty.Known(learnt, space)
    same = known.nearest(learnt[100:150])
    assert same.row.tolist() == list(range(100, 150))
    assert same.distance.max() < 0.02
    assert not same.mirrored.any()
    limit = known.limit(unseen[:300])
    noisy = learnt[:100].tensor()
    noisy = noisy + 0.02 * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(0))
    assert novelty.copies(known, noisy, limit).accuracy >= 0.9
    strangers = novelty.copies(known, unseen[300:], limit)
    assert strangers.accuracy <= 0.05
    low, high = strangers.interval
    assert low <= 0.02 <= high


def test_mirror_images_are_known_unless_nobody_learnt_from_them(learnt):
    turned = learnt[:20].tensor().flip(-1)
    found = novelty.Known(learnt).nearest(turned)
    assert found.row.tolist() == list(range(20))
    assert found.mirrored.float().mean() > 0.5  # some faces are their own mirror image
    plain = novelty.Known(learnt, mirrored=False).nearest(turned)
    assert not plain.mirrored.any()
    assert plain.distance.mean() > 5 * found.distance.mean()


def test_twins_are_shown_as_they_are_meant(learnt):
    turned = learnt[:20].tensor().flip(-1)
    found = novelty.Known(learnt).nearest(turned)
    assert (novelty.twins(learnt, found) - turned).abs().mean() < 0.01


def test_the_limit_is_the_share_by_chance(learnt, unseen):
    known = novelty.Known(learnt)
    limit = known.limit(unseen, by_chance=0.1)
    assert abs(novelty.copies(known, unseen, limit).accuracy - 0.1) < 0.01
    with pytest.raises(CourseError, match="share between 0 and 1"):
        known.limit(unseen, by_chance=2)


def test_what_cannot_be_looked_up_is_refused(learnt):
    with pytest.raises(CourseError, match="pixels, convolution, strokes"):
        novelty.Known(learnt, "inception")
    with pytest.raises(CourseError, match="64"):
        novelty.Known(learnt).nearest(torch.zeros(1, 3, 32, 32))


# Halves


def test_halves_share_no_face_and_small_ones_begin_large_ones():
    one, other = novelty.halves(64)
    assert len(one) == len(other) == 64
    assert not set(one.seeds) & set(other.seeds)
    assert not set(one.seeds) & set(faces.load("held-out").seeds)
    larger = novelty.halves(512)[0]
    assert np.array_equal(one.images, larger.images[:64])
    assert set(novelty.halves(64, seed=1)[0].seeds) != set(one.seeds)
    for n in (0, 3001):
        with pytest.raises(CourseError, match="1 to 3,000"):
            novelty.halves(n)


@pytest.mark.slow
def test_the_largest_halves_have_new_drawings_beside_the_bundled_ones():
    one, other = novelty.halves(3000)
    assert len(set(one.seeds) | set(other.seeds)) == 6000
    assert len(one.attributes) == len(one.images) == 3000


def test_two_painters_begin_alike_and_learn_different_faces():
    one, other = novelty.halves(16)
    autoencoder = ld.load_autoencoder()
    noise = novelty.noise_for(2)
    begun, learnt = [], []
    for half in (one, other):
        plan = novelty.build(half, channels=(16, 16, 16), autoencoder=autoencoder)
        begun.append(plan.result()(noise, 500).sample.detach())
        history = plan.fit(16 * 30, progress=False, pictures_every=10**9)
        losses = history.curve("loss")
        assert np.mean(losses[-3:]) < np.mean(losses[:3])
        learnt.append(novelty.latents_from(plan.result(), noise, steps=2))
    assert torch.equal(*begun)
    assert not torch.allclose(*learnt)
    assert novelty.paint(plan.result(), autoencoder, noise, steps=2).shape == (2, 3, 64, 64)


def test_a_pair_keeps_both_painters_apart():
    pair = novelty.Pair((16, 16))
    names = set(pair.state_dict())
    assert {name.partition(".")[0] for name in names} == {"one", "other"}
    assert novelty.latents_from(pair.one, novelty.noise_for(3), steps=1).shape == (3, 4, 16, 16)


def test_a_painter_can_go_on_from_another():
    begin = novelty.new_unet((16, 16, 16))
    half = novelty.halves(16)[0]
    plan = novelty.build(half, channels=(16, 16, 16), seed=5, begin=begin)
    noise = novelty.noise_for(1)
    assert torch.allclose(plan.result()(noise, 500).sample, begin(noise, 500).sample, atol=1e-4)
    before = begin.conv_in.weight.clone()
    plan.fit(32, progress=False, pictures_every=10**9)
    assert torch.equal(begin.conv_in.weight, before)
    assert not torch.equal(plan.result().conv_in.weight, before)


def test_between_two_noises_none_is_too_short():
    one, other = novelty.noise_for(2)
    way = novelty.between(one, other, 5)
    assert way.shape == (5, 4, 16, 16)
    assert torch.allclose(way[0], one, atol=1e-4)
    assert torch.allclose(way[-1], other, atol=1e-4)
    lengths = way.flatten(1).norm(dim=1)
    assert lengths.min() > 0.95 * min(one.norm(), other.norm())


def test_noise_is_that_of_its_seed():
    assert torch.equal(novelty.noise_for(4, 1), novelty.noise_for(8, 1)[:4])
    assert not torch.equal(novelty.noise_for(4, 1), novelty.noise_for(4, 2))


# Agreement


def test_agreement_goes_from_chance_to_one(unseen):
    images = unseen[:64].tensor()
    same = novelty.agreement(images, images)
    assert same.correlation > 0.999
    assert same.attributes == 1
    assert abs(same.by_chance[0]) < 0.2
    assert same.by_chance[1] < 0.5
    strangers = novelty.agreement(images, unseen[64:128].tensor())
    assert abs(strangers.correlation) < 0.2
    assert strangers.attributes < 0.5
    for bad in (images[:1], images[:10]):
        with pytest.raises(CourseError, match=r"two images or more|as many"):
            novelty.agreement(bad, images[: len(bad)] if len(bad) == 1 else images)


def test_halves_are_compared_in_all_that_the_table_says(unseen):
    halves = novelty.halves(64)
    painted = [half.tensor() for half in halves]  # two that know their faces by heart
    found = novelty.compare_halves(painted, halves, unseen)
    assert found["nearest in own half"] < 0.01 < found["in the other half"]
    assert found["own / other"] < 0.01
    assert found["unseen real, own half"] > 0.3
    assert abs(found["correlation"]) < 0.2


# Counting


def test_what_the_style_can_draw_is_counted_with_what_is_hidden():
    assert novelty.possible(["hair_color"]) == 12
    assert novelty.possible(["eye_shape", "eye_color"]) == 5 * 10 + 1
    assert novelty.possible(["eye_color"]) == 11
    assert novelty.possible(["clothes", "clothes_color"]) == 2 * 6 + 2
    assert novelty.possible() == 12 * 51 * 8 * 6 * 6 * 4 * 3 * (3 + 1) * 2 * 2 * 14 * 6
    with pytest.raises(CourseError, match="unknown attribute 'hat'"):
        novelty.possible(["hat"])


def test_variety_is_the_number_of_kinds_when_all_are_as_frequent():
    hair = list("abcdefgh")
    seen = [{"hair_color": hair[i % 8]} for i in range(8000)]
    assert novelty.variety(seen, ["hair_color"]) == pytest.approx(8, rel=0.01)
    twice = [{"hair_color": hair[min(i % 16, 7)]} for i in range(8000)]  # one kind for half of all
    assert novelty.variety(twice, ["hair_color"]) < 4
    assert novelty.variety(seen[:8], ["hair_color"]) == float("inf")
    with pytest.raises(CourseError, match="two or more"):
        novelty.variety(seen[:1])


def test_real_faces_are_more_varied_than_the_same_few(unseen):
    known = faces.load("train").attributes
    few = known[:64] * 20
    assert novelty.variety(few) < 70 < 500 < novelty.variety(known)
