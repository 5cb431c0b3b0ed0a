"""Two domains without pairs, four networks that learn from them, and rulers that know the pairs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import cyclegan, faces
from course_lib.errors import CourseError
from course_lib.faces import FacesError

RECIPE = cyclegan.Recipe()
SMALL = {"width": 4, "precision": "no", "progress": False}


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


@pytest.fixture(scope="module")
def data():
    return cyclegan.of_domains(faces.load("train")[:600], cyclegan.AQUA_PURPLE)


@pytest.fixture(scope="module")
def pairs():
    return cyclegan.exact_pairs(12, cyclegan.AQUA_PURPLE)


def train(data, recipe=RECIPE, images=16, **options):
    return cyclegan.train(data, recipe, images=images, **SMALL | options)


# The domains


def test_no_picture_of_one_domain_has_a_partner_in_the_other(data):
    assert {face["hair_color"] for face in data.first.attributes} == {"aqua"}
    assert {face["hair_color"] for face in data.second.attributes} == {"purple"}
    assert not set(data.first.seeds) & set(data.second.seeds)
    eyes = {face["eye_color"] for face in data.first.attributes + data.second.attributes}
    assert not eyes & {"aqua", "purple"}


def test_the_pairs_of_the_ruler_are_of_other_seeds(data, pairs):
    assert pairs.first.seeds == pairs.second.seeds
    assert not set(pairs.first.seeds) & set(data.first.seeds + data.second.seeds)
    bound = cyclegan.exact_pairs(12, cyclegan.AQUA_PURPLE, cyclegan.domains.PAIRED_SEED)
    assert not set(bound.first.seeds) & set(pairs.first.seeds)


def test_pairs_are_equal_but_for_the_hair(pairs):
    for one, other in zip(pairs.first.attributes, pairs.second.attributes, strict=True):
        assert [name for name in one if one[name] != other[name]] == ["hair_color"]
    mask = cyclegan.differs(pairs.first.tensor(), pairs.second.tensor())
    assert mask.shape == (12, 1, 64, 64)
    assert 0.1 < mask.float().mean() < 0.6


def test_every_epoch_brings_other_partners_and_the_same_seed_the_same(data):
    rows = range(len(data))
    first, again = (data.in_epoch(0).tensor(rows) for _ in range(2))
    later = data.in_epoch(1).tensor(rows)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], later[0])
    assert not torch.equal(first[1], later[1])


def test_a_pair_stays_a_pair(pairs):
    one, other = pairs.in_epoch(3).tensor([5, 2])
    assert torch.equal(one, pairs.first.tensor([5, 2]))
    assert torch.equal(other, pairs.second.tensor([5, 2]))


def test_domains_of_two_sizes_or_without_attributes_are_refused(data):
    large = faces.Faces(np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(CourseError, match="load both with the same size"):
        cyclegan.Unpaired(data.first, large)
    with pytest.raises(FacesError, match="have attributes"):
        cyclegan.of_domains(large, cyclegan.AQUA_PURPLE)


# The networks and the step


def test_the_generator_adds_to_the_picture():
    G, images = cyclegan.Generator(4), torch.rand(2, 3, 32, 32) * 2 - 1
    torch.nn.init.zeros_(G.change.weight)
    torch.nn.init.zeros_(G.change.bias)
    assert torch.equal(G(images), images)
    torch.nn.init.ones_(G.change.bias)
    assert torch.equal(G(images), (images + 1).clamp(-1, 1))


def test_heaps_that_cannot_be_learnt_from_say_why():
    known = faces.load("train")[:40]
    none = known.filter(hair_color="aqua")[:0]
    with pytest.raises(CourseError, match="no picture"):
        cyclegan.Unpaired(known, none)
    one_colour = faces.load("train").filter(hair_color="aqua")[:4]
    with pytest.raises(CourseError, match="no face with purple hair among these 4: take more"):
        cyclegan.of_domains(one_colour, cyclegan.AQUA_PURPLE)
    odd = faces.render(2, seed=1, size=66)
    with pytest.raises(CourseError, match="multiples of 4"):
        cyclegan.Unpaired(odd, odd)
    with pytest.raises(CourseError, match="width is 2; choose 4 or more"):
        cyclegan.networks(2, 0)


@pytest.mark.parametrize(
    ("sharp", "maps"), [(False, [(22, 15)]), (True, [(24, 15), (7, 64)])]
)  # of each: pixels of a patch, scores along a side
def test_how_large_a_patch_a_score_sees(sharp, maps):
    D, images = cyclegan.Discriminator(4, sharp=sharp), torch.rand(1, 3, 64, 64, requires_grad=True)
    for scores, (pixels, side) in zip(D(images), maps, strict=True):
        assert scores.shape == (1, side, side)
        (slope,) = torch.autograd.grad(scores[0, side // 2, side // 2], images, retain_graph=True)
        rows = slope.abs().sum((0, 1, 3)).nonzero()
        assert rows.max() - rows.min() + 1 == pixels


def test_a_discriminator_of_two_scales_learns_at_both():
    torch.manual_seed(0)
    D = cyclegan.Discriminator(4, sharp=True)
    cyclegan.told_apart(D(torch.ones(1, 3, 16, 16)), D(torch.zeros(1, 3, 16, 16))).backward()
    for network in D.scales:
        assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    right = [torch.ones(1, 3, 3), torch.ones(1, 16, 16)]
    assert cyclegan.real_enough(right) == 0
    assert cyclegan.told_apart(right, right) == 1  # a half for each map


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_gradient_passes_and_the_images_stay(share):
    images = torch.rand(2, 3, 4, 4, requires_grad=True)
    passed = cyclegan.passing(images, share)
    torch.testing.assert_close(passed, images)
    passed.sum().backward()
    torch.testing.assert_close(images.grad, torch.full_like(images, share))


@pytest.mark.parametrize(("sharp", "side"), [(False, 5), (True, 1)])
def test_in_the_last_layers_of_a_sharp_generator_no_pixel_minds_its_neighbours(sharp, side):
    torch.manual_seed(0)
    G = cyclegan.Generator(8, sharp=sharp)
    nn.init.zeros_(G.enlarge[0].weight)  # what the coarse layers say of a place is the same for all
    images = 0.1 * torch.rand(1, 3, 16, 16)
    other = images.clone()
    other[:, :, 8, 8] = 0.5
    changed = (G(images) != G(other)).any(1)[0]
    assert changed[8, 8]
    assert changed.any(0).sum() == side


@pytest.mark.parametrize(
    ("sharp", "wanted", "done"), [(True, 0.015, 0.0), (True, 0.1, 0.08), (False, 0.015, 0.015)]
)
def test_a_sharp_generator_leaves_alone_what_it_would_hardly_change(sharp, wanted, done):
    G = cyclegan.Generator(8, sharp=sharp)
    nn.init.zeros_(G.change.weight)
    nn.init.constant_(G.change.bias, wanted)
    images = 0.1 * torch.rand(2, 3, 16, 16)
    assert torch.allclose(G(images) - images, torch.tensor(done), atol=1e-6)


def test_the_pool_gives_new_ones_then_half_old_ones_and_forgets_none_at_once():
    pool, new = cyclegan.Pool(4, 2), torch.arange(24.0).view(24, 1, 1, 1).expand(24, 3, 2, 2)
    torch.manual_seed(0)
    assert torch.equal(pool(new[:4]), new[:4])
    given = pool(new[4:])[:, 0, 0, 0].tolist()
    older = [a for a, b in zip(given, range(4, 24), strict=True) if a != b]
    assert 5 <= len(older) <= 15
    kept = pool.pictures[:, 0, 0, 0].tolist()
    assert sorted([*given, *kept]) == list(range(24))  # each is there once: nothing is lost


def test_each_loss_alone_can_be_weighed_out(data):
    batch = data.tensor(range(4))
    moved = {}
    for name in ("adversarial", "cycle", "identity"):
        weights = {"adversarial": 0.0, "cycle": 0.0, "identity": 0.0, name: 1.0}
        before, after = step(batch, weights)
        moved[name] = after
        assert not torch.equal(before, after), name
    assert not torch.equal(moved["cycle"], moved["identity"])
    before, after = step(batch, dict.fromkeys(moved, 0.0))
    assert torch.equal(before, after)


def step(batch, weights):
    translators, critics = cyclegan.networks(4, seed=0)
    optimisers = [torch.optim.SGD(net.parameters(), 0.1) for net in (translators, critics)]
    before = translators.there.change.weight.detach().clone()
    losses = cyclegan.cycle_step(
        translators.there, translators.back, *critics, *optimisers, batch,
        pools=(cyclegan.Pool(4), cyclegan.Pool(4)), **weights,
    )  # fmt: skip
    assert losses.keys() == {"loss_adversarial", "loss_cycle", "loss_identity", "loss_D"}
    assert all(p.requires_grad for p in critics.parameters())
    return before, translators.there.change.weight.detach()


def test_discriminators_learn_which_pictures_are_of_which_domain(data):
    torch.manual_seed(0)
    critic = cyclegan.Discriminator(8)
    optimiser = torch.optim.Adam(critic.parameters(), 5e-3)
    real, other = data.tensor(range(16))
    for _ in range(20):
        optimiser.zero_grad()
        cyclegan.told_apart(critic(real), critic(other)).backward()
        optimiser.step()
    assert critic(real)[0].mean() > critic(other)[0].mean() + 0.3
    assert cyclegan.real_enough(critic(other)) > cyclegan.real_enough(critic(real))


# A whole training


def test_the_same_seed_trains_the_same_and_another_another(data):
    one, again, other = (train(data, seed=seed).translators.there for seed in (0, 0, 1))
    assert torch.equal(one.change.weight, again.change.weight)
    assert not torch.equal(one.change.weight, other.change.weight)


def test_an_interrupted_training_goes_on_with_its_pool(data, tmp_path):
    recipe = replace(RECIPE, pool=6, decay_from=1.0)
    whole = train(data, recipe, images=24)
    train(data, recipe, images=12, folder=tmp_path)
    resumed = train(data, recipe, images=24, folder=tmp_path)
    assert resumed.history.steps == whole.history.steps == 6
    weights = [one.translators.there.change.weight for one in (whole, resumed)]
    assert torch.equal(*weights)


def test_pairs_teach(pairs):
    recipe = replace(RECIPE, paired=True)
    loss = train(pairs, recipe, images=160).history.losses["loss_paired"]
    assert sum(loss[-5:]) < 0.75 * sum(loss[:5])


def test_pictures_of_a_training_go_both_ways(data):
    history = train(data).history
    assert [snapshot.pictures.shape for snapshot in history.snapshots] == [(16, 64, 64, 3)] * 2


def test_load_or_train_says_what_is_wrong(data):
    with pytest.raises(CourseError, match="pretrained, quick, full"):
        cyclegan.load_or_train("fast", data)
    with pytest.raises(CourseError, match="needs data"):
        cyclegan.load_or_train("quick")
    with pytest.raises(CourseError, match="no weights of preset 'quick'; there are of aqua-purple"):
        cyclegan.load("quick")


# The rulers


def test_errors_are_where_they_are_made(pairs):
    inputs, targets = pairs.first.tensor(), pairs.second.tensor()
    inside = cyclegan.differs(inputs, targets)
    assert cyclegan.errors(targets, inputs, targets) == (0, 0)
    copying = cyclegan.errors(inputs, inputs, targets)
    assert copying.inside > 30
    assert copying.outside < 1
    brighter = targets + 0.1 * ~inside  # 12.75 levels where white does not cut it off
    found = cyclegan.errors(brighter, inputs, targets)
    assert found.inside == 0
    assert 9 < found.outside < 12.75


def test_the_edge_is_one_pixel_wide():
    inputs = torch.zeros(1, 3, 16, 16)
    targets, beside, far = inputs.clone(), inputs.clone(), inputs.clone()
    targets[:, :, 6:10, 6:10] = 0.5
    beside[:, :, 5, 6:10] = far[:, :, 4, 6:10] = 0.1
    assert cyclegan.at_the_edge(targets + beside, inputs, targets) == pytest.approx(1)
    assert cyclegan.at_the_edge(targets + far, inputs, targets) == 0
    assert cyclegan.at_the_edge(targets, inputs, targets) == 0


def test_the_way_is_none_for_copying_and_all_for_the_bound():
    assert cyclegan.way(40, 40, 4) == 0
    assert cyclegan.way(40, 4, 4) == 1
    assert cyclegan.way(40, 22, 4) == 0.5
    assert cyclegan.way(40, 44, 4) < 0


def test_copying_keeps_all_and_paints_no_hair(pairs):
    found = cyclegan.measure(None, pairs, cyclegan.AQUA_PURPLE)
    assert found["hair"] == 0
    assert found["kept"] > 0.97
    assert cyclegan.as_asked(pairs.second.tensor(), "purple") == 1
    shuffled = pairs.second.tensor().flip(0)
    assert cyclegan.kept(shuffled, pairs.second.tensor()) < 0.8


def test_noise_has_the_strength_that_was_asked_for():
    grey = torch.zeros(4, 3, 32, 32)
    assert torch.equal(cyclegan.disturb(grey, 0), grey)
    noisy = cyclegan.disturb(grey, 12.75)
    assert noisy.std() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(noisy, cyclegan.disturb(grey, 12.75))


def test_ways_back_are_measured_from_the_originals():
    class Copy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, images):
            return images

    grey = torch.zeros(2, 3, 16, 16)
    plain, noisy = cyclegan.ways_back(Copy(), grey, grey + 0.2, [0, 4])
    assert plain == pytest.approx(25.5)
    assert noisy == pytest.approx(25.5, abs=1)
    assert cyclegan.ways_back(Copy(), grey, grey, [0]) == [0]


def test_a_colour_that_is_in_the_picture_is_remembered(pairs):
    class Copy(cyclegan.Generator):
        def forward(self, images):
            return images

    images = pairs.first.tensor()
    assert cyclegan.remembered(Copy(4), images, ["aqua"] * 12, [0, 4]) == [1, 1]
    assert cyclegan.remembered(Copy(4), images, ["aqua", "red"] * 6, [0]) == [0.5]


def test_several_colours_make_one_domain():
    pairs = cyclegan.exact_pairs(12, cyclegan.COLOURS_BLACK)
    assert {face["hair_color"] for face in pairs.first.attributes} == {"red", "green", "blue"}
    assert {face["hair_color"] for face in pairs.second.attributes} == {"black"}
    assert cyclegan.as_asked(pairs.first.tensor(), "red+green+blue") == 1
    assert cyclegan.as_asked(pairs.first.tensor(), "red") < 1


def test_magnified_differences_are_grey_where_there_are_none():
    plain = torch.zeros(1, 3, 4, 4)
    assert torch.equal(cyclegan.magnified(plain, plain), plain)
    assert cyclegan.magnified(plain + 0.05, plain)[0, 0, 0, 0] == pytest.approx(0.4)


# The committed weights


def test_committed_generators_change_the_hair_and_keep_the_rest():
    pairs = cyclegan.exact_pairs(24, cyclegan.AQUA_PURPLE, seed=4)
    found = cyclegan.measure(cyclegan.load("aqua-purple"), pairs, cyclegan.AQUA_PURPLE)
    assert found["hair"] >= 0.95
    assert found["kept"] >= 0.97
    copying = cyclegan.measure(None, pairs, cyclegan.AQUA_PURPLE)
    bound = cyclegan.measure(cyclegan.load("aqua-purple-paired"), pairs, cyclegan.AQUA_PURPLE)
    assert cyclegan.way(copying["inside"], found["inside"], bound["inside"]) >= 0.8


def test_an_aqua_plaster_is_recoloured_like_hair():
    faces_ = cyclegan.exact_pairs(8, cyclegan.AQUA_PURPLE, seed=4).first.tensor()
    stuck = faces_.clone()
    stuck[:, :, 38:46, 28:36] = torch.tensor([79, 211, 221]).view(3, 1, 1) / 127.5 - 1
    outputs = cyclegan.translate(cyclegan.load("aqua-purple").there, stuck)
    red, green, _ = (outputs[:, :, 40:44, 30:34].mean((0, 2, 3)) + 1) * 127.5
    assert red > green + 20  # purple, where aqua has four times as much green as red


def test_a_black_picture_of_the_generator_remembers_a_colour_and_a_drawn_one_does_not():
    pairs = cyclegan.exact_pairs(24, cyclegan.COLOURS_BLACK, seed=4)
    secret = cyclegan.load("colours-black")
    colours = [face["hair_color"] for face in pairs.first.attributes]
    own, drawn = cyclegan.translate(secret.there, pairs.first), pairs.second.tensor()
    assert cyclegan.as_asked(own, "black") > 0.7
    quiet, noisy = cyclegan.remembered(secret.back, own, colours, [0, 16])
    assert min(quiet, noisy) > 0.9  # it is written large: noise does not drown it
    assert cyclegan.remembered(secret.back, drawn, colours, [0])[0] < 0.6
    told = drawn + torch.tensor([0, 0, 4]).view(3, 1, 1) / 127.5
    forged = cyclegan.translate(secret.back, told.clamp(-1, 1))
    assert cyclegan.as_asked(forged, "blue") > 0.9  # four levels of blue are read as "blue"


def test_without_discriminators_it_copies():
    pairs = cyclegan.exact_pairs(8, cyclegan.BLACK_BLONDE, seed=4)
    outputs = cyclegan.translate(cyclegan.load("no-adversarial").there, pairs.first)
    assert (outputs - pairs.first.tensor()).abs().mean() < 0.03
    assert cyclegan.as_asked(outputs, "blonde") == 0
