"""Words reach the painter and the appraiser; pairs are what they are called; a training goes on."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from course_lib import conditional_gan as cgan
from course_lib import faces, judge, text, training
from course_lib.errors import CourseError
from course_lib.faces.captioned import fits

QUICK = cgan.PRESETS["quick"]
SMALL = {"width": 4, "precision": "no", "progress": False, "pictures": None, "watch": None}


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


@pytest.fixture(scope="module")
def some():
    return faces.load("train")[:120]


@pytest.fixture(scope="module")
def encoder():
    return text.load()


def networks(encoder, recipe=QUICK.recipe):
    return cgan.networks(recipe, encoder, width=4, image_size=64, seed=0)


def test_pictures_depend_on_noise_and_on_words(encoder):
    G, _ = networks(encoder)
    noise = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    red, blue = encoder.think(["red eyes", "蓝眼睛"]).vector
    pictures = cgan.paint(G, noise[[0, 0, 1]], torch.stack([red, blue, red]))
    assert pictures.shape == (3, 3, 64, 64)
    assert pictures.abs().max() <= 1
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    alone = cgan.paint(G, noise[:1], red[None])
    torch.testing.assert_close(alone[0], pictures[0], rtol=1e-4, atol=1e-5)


def test_only_the_direction_of_a_thought_counts(encoder):
    G, D = networks(encoder)
    thought, noise = encoder.think("red eyes").vector, torch.randn(1, 100)
    picture = cgan.paint(G, noise, thought)
    torch.testing.assert_close(cgan.paint(G, noise, 7 * thought), picture, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(D(picture, thought), D(picture, 7 * thought))


def test_wrong_shapes_are_told(encoder):
    G, _ = networks(encoder)
    with pytest.raises(CourseError, match=r"noise is \(B, 100\) and thoughts are \(B, 128\), not"):
        G(torch.randn(2, 100), torch.randn(2, 64))


@pytest.mark.parametrize(
    ("prompts", "says"),
    [("red eyes", "a list of texts"), ([3], "a list of texts"), ([], "no prompt")],
)
def test_what_is_no_list_of_prompts_is_not_painted(encoder, prompts, says):
    with pytest.raises(CourseError, match=says):
        cgan.Painter(networks(encoder)[0], encoder)(prompts)


def test_all_pairs_at_once_are_the_pairs_one_by_one(encoder):
    _, D = networks(encoder)
    images, thoughts = torch.rand(3, 3, 64, 64) * 2 - 1, torch.randn(4, 128)
    scores = D.judge(D.see(images), thoughts)
    assert scores.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            torch.testing.assert_close(D(images[i : i + 1], thoughts[j : j + 1])[0], scores[i, j])


def test_a_discriminator_without_words_scores_the_picture_alone(encoder):
    _, D = networks(encoder, replace(QUICK.recipe, sees_words=False))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(D(images, torch.randn(2, 128)), D(images, torch.randn(2, 128)))


def test_what_is_told_is_true_and_what_is_not_is_wrong(some, encoder):
    told = cgan.Told(some, encoder.tokens)
    assert not any(faces.held_apart(a) for a in told.known.attributes)
    images, tokens, said, drawn = told.tensor(range(len(told)))
    assert len(images) == len(told) < len(some)
    assert len(tokens) == len(said) == 2 * len(told)
    true, mistaken = said.chunk(2)
    assert fits(true, drawn).all()
    assert fits(mistaken, drawn).float().mean() < 0.1  # two equal colours may change places
    changed = (true != mistaken).sum(1)
    assert set(changed.tolist()) <= {0, 1, 2}


def test_every_epoch_has_other_captions_and_each_training_the_same(some, encoder):
    one, other = (cgan.Told(some, encoder.tokens, seed=3) for _ in range(2))
    assert [one.tell(i) for i in range(9)] == [other.tell(i) for i in range(9)]
    assert one.in_epoch(1).tell(0) != one.tell(0)
    assert (
        one.fingerprint()
        == other.fingerprint()
        != cgan.Told(some[1:], encoder.tokens).fingerprint()
    )


def test_a_part_of_the_pairs_of_colours_is_held_apart():
    values = faces.attribute_values()
    pairs = [(h, e) for h in values["hair_color"] for e in values["eye_color"]]
    apart = {p for p in pairs if faces.held_apart({"hair_color": p[0], "eye_color": p[1]})}
    assert 0.05 < len(apart) / len(pairs) < 0.2
    seen = set(pairs) - apart
    assert {h for h, _ in seen} == set(values["hair_color"])
    assert {e for _, e in seen} == set(values["eye_color"])


@pytest.mark.parametrize("mismatched", cgan.MISMATCHED)
def test_a_step_changes_both_and_tells_the_three_kinds_of_pair_apart(some, encoder, mismatched):
    G, D = networks(encoder)
    before = [net.state_dict()["main.0.weight"].clone() for net in (G, D)]
    optimisers = [torch.optim.Adam(net.parameters(), 1e-3) for net in (G, D)]
    encode = lambda tokens: encoder(tokens).vector.detach()  # noqa: E731
    step = partial(cgan.conditional_step, G, D, *optimisers, encode=encode, mismatched=mismatched)
    batch = cgan.Told(some, encoder.tokens).tensor(range(16))
    found = step(batch, contrast=1.0, variety=1.0, penalty=1.0, penalty_share=1.0)
    assert {"loss_D", "loss_G", "D(x) fits", "D(x) misfits", "D(G(z))"} <= found.keys()
    assert all(torch.as_tensor(value).isfinite() for value in found.values())
    for net, weights in zip((G, D), before, strict=True):
        assert not torch.equal(net.state_dict()["main.0.weight"], weights)
    assert all(weights.requires_grad for weights in D.parameters())


@pytest.mark.parametrize("mismatched", cgan.MISMATCHED)
def test_a_relative_loss_knows_no_zero(mismatched):
    scores, on_fakes = torch.randn(4, 8), torch.randn(4)
    misfit, mistaken = torch.rand(4, 8) < 0.5, torch.zeros(4, 8, dtype=torch.bool)
    misfit[:, 4:] |= torch.eye(4, dtype=torch.bool)
    mistaken[:, 4:] = torch.eye(4, dtype=torch.bool)

    def loss(shift, relative):
        moved = (scores + shift, on_fakes + shift)
        return cgan.loss_of_discriminator(*moved, misfit, mistaken, mismatched, relative)

    torch.testing.assert_close(loss(3.0, True), loss(0.0, True))
    assert loss(3.0, False) != loss(0.0, False)
    better = scores + 2 * torch.eye(4, 8)  # the true pairs, higher
    found = cgan.loss_of_discriminator(better, on_fakes, misfit, mistaken, mismatched, True)
    assert found < loss(0.0, True)


def test_sameness_asks_for_no_more_than_real_faces_have(some):
    real = some.tensor(range(32))
    assert cgan.sameness(real[:8], real[:8], real) > 0.1  # the same twice
    assert cgan.sameness(real[:8], real[8:16], real, enough=0.2) == 0
    noisy = real[:8] + 0.3 * torch.randn(8, 3, 64, 64)  # noise is no variety
    same = cgan.sameness(real[:8], real[:8], real)
    assert cgan.sameness(real[:8], noisy, real) > 0.7 * same


def test_words_that_fit_as_well_are_no_rivals():
    fit = torch.tensor([[1.0, 5.0], [9.0, 2.0]])
    assert cgan.nearest_words(fit, torch.zeros(2, 2, dtype=torch.bool)) == 0
    rivals = ~torch.eye(2, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(fit, torch.arange(2))
    torch.testing.assert_close(cgan.nearest_words(fit, rivals), expected)


def test_unknown_kinds_of_pair(some, encoder):
    plan = cgan.build(some, replace(QUICK.recipe, mismatched="some"), width=4, encoder=encoder)
    with pytest.raises(CourseError, match="mismatched is one of all, batch, none"):
        plan.step(plan.data.tensor(range(4)))


@pytest.mark.slow
def test_appraiser_learns_which_words_fit(some):
    """Without a painter in the way: a few steps, and words that fit score higher."""
    history = cgan.train(
        some,
        replace(QUICK.recipe, batch_size=16, penalty=0.0),
        images=1600,
        **SMALL,
    ).history
    assert history.mean("D(x) fits") > history.mean("D(x) misfits") + 0.1


def test_the_appraiser_looks_in_16_bits_if_asked_to(some, encoder):
    plan = cgan.build(some, QUICK.recipe, width=4, precision="bf16", encoder=encoder)
    seen = set()
    first = plan.keep["discriminator"].main[0]
    first.register_forward_hook(lambda _, __, maps: seen.add(maps.dtype))
    plan.step(plan.data.tensor(range(8)))
    assert seen == {torch.bfloat16}


def test_a_training_goes_on_exactly(some, tmp_path):
    recipe = replace(QUICK.recipe, batch_size=8)

    def train():
        return cgan.train(some, recipe, images=48, folder=tmp_path, save_every=3, **SMALL)

    whole = train()
    for last in tmp_path.glob("step-00000006.*"):
        last.unlink()  # as if it had been killed after the third step
    resumed = train()
    assert whole.history.losses == resumed.history.losses
    for key, value in whole.generator.state_dict().items():
        assert torch.equal(value, resumed.generator.state_dict()[key]), key


def test_faces_that_nobody_has_described_are_refused(few_faces):
    with pytest.raises(faces.FacesError, match="attributes"):
        cgan.build(few_faces, width=4)


def test_several_processes_are_refused(some, monkeypatch):
    two = SimpleNamespace(num_processes=2)
    monkeypatch.setattr(training, "make_accelerator", lambda _: two)
    with pytest.raises(CourseError, match="trains in one process"):
        cgan.build(some)


def test_follow_counts_what_captions_ask_for(encoder):
    G, _ = networks(encoder)
    scores = cgan.follow(G, encoder, 40)
    assert scores["everything"].total == 40
    assert 0 <= judge.mean_accuracy(scores) <= 1
    apart = cgan.follow(G, encoder, 20, wanted=faces.held_apart)
    assert apart["hair_color"].total == apart["eye_color"].total == 20


def test_unknown_budget_and_missing_data():
    with pytest.raises(CourseError, match="budget 'huge' is unknown"):
        cgan.load_or_train("huge")
    with pytest.raises(CourseError, match="a quick training needs data"):
        cgan.load_or_train("quick")
