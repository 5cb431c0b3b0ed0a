"""What lesson 3's checkers say about the mistakes that students make."""

import pytest
import torch
from torch import nn

from course_lib import exercises as check
from course_lib import failures

entropy = nn.functional.binary_cross_entropy


TURN = ("clear", "backward", "step")


def take_turn(optimiser, loss, order, *, clear=True, learn=True, move=True):
    acts = {
        "clear": optimiser.zero_grad if clear else lambda: None,
        "backward": loss.backward if learn else lambda: None,
        "step": optimiser.step if move else lambda: None,
    }
    for act in order:
        acts[act]()


def d_step(
    real_label=1.0, fake_label=0.0, *, detach=True, parts=(1, 1), returns=1.0, order=TURN, **left
):
    """A student's D step, with a mistake or none."""

    def step(D, optimiser, real, fakes):
        on_real, on_fakes = D(real), D(fakes.detach() if detach else fakes)
        loss = parts[0] * entropy(on_real, torch.full_like(on_real, real_label))
        loss = loss + parts[1] * entropy(on_fakes, torch.full_like(on_fakes, fake_label))
        take_turn(optimiser, loss, order, **left)
        return returns * loss

    return step


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"clear": False}, "begin with optimiser.zero_grad()"),
        ({"detach": False}, "D should look at fakes.detach()"),
        ({"move": False}, "call optimiser.step() at the end"),
        ({"real_label": 0.0, "fake_label": 1.0}, "the wrong way round"),
        ({"fake_label": 1.0}, "You called the fakes real as well"),
        ({"parts": (1, 0)}, "from the real ones only"),
        ({"parts": (0, 1)}, "from the fakes only"),
        ({"parts": (0.5, 0.5)}, "added, not averaged"),
        ({"real_label": 0.9}, "label smoothing"),
        ({"real_label": 0.7}, "not those after one step"),
        ({"real_label": 0.0}, "You called the real ones fake as well"),
        ({"parts": (-1, -1)}, "D goes uphill"),
        ({"returns": 0.5}, "half of it. Add the two losses"),
        ({"returns": 2.0}, "you return"),
        ({"learn": False}, "loss.backward() is missing"),
        ({"order": ("clear", "step", "backward")}, "stands before backward()"),
        ({"order": ("backward", "clear", "step")}, "It comes before"),
        ({"order": ("step", "clear", "backward")}, "left over from G's step alone"),
        ({"order": ("clear", "backward", "step", "step")}, "optimiser.step() 2 times"),
    ],
)
def test_discriminator_step(mistake, message):
    verdict = check.discriminator_step(d_step(**mistake))
    assert verdict.passed is False
    assert message in verdict.message
    assert check.discriminator_step(d_step()).passed


def d_step_in_halves(second):
    """One loss after the other, as the article has it, and something between the two."""

    def step(D, optimiser, real, fakes):
        optimiser.zero_grad()
        on_real = entropy(D(real), torch.ones(len(real)))
        on_real.backward()
        second(optimiser)
        on_fakes = entropy(D(fakes.detach()), torch.zeros(len(fakes)))
        on_fakes.backward()
        optimiser.step()
        return on_real + on_fakes

    return step


def test_between_the_halves_of_a_d_step_nothing_happens():
    assert check.discriminator_step(d_step_in_halves(lambda optimiser: None)).passed
    cleared = check.discriminator_step(d_step_in_halves(lambda optimiser: optimiser.zero_grad()))
    assert "from the fakes only" in cleared.message
    stepped = check.discriminator_step(d_step_in_halves(lambda optimiser: optimiser.step()))
    assert "optimiser.step() 2 times" in stepped.message


def g_step(label=1.0, *, detach=False, part=1.0, returns=1.0, order=TURN, **left_out):
    def step(D, optimiser, fakes):
        verdict = D(fakes.detach() if detach else fakes)
        loss = part * entropy(verdict, torch.full_like(verdict, label))
        take_turn(optimiser, loss, order, **left_out)
        return returns * loss

    return step


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"detach": True}, "No gradient reaches G. Something cuts the thread"),
        ({"detach": True, "learn": False, "label": 0.0}, "Something cuts the thread"),
        # The friend has mended detach and label: what he has not mended is to be named.
        ({"learn": False}, "No gradient reaches G: loss.backward() is missing."),
        ({"learn": False, "clear": False}, "left over from before"),
        ({"move": False}, "call optimiser.step()"),
        ({"label": 0.0}, "Which label does it want D to give?"),
        ({"label": 0.0, "part": -1.0}, "the minimax loss"),
        ({"part": -1.0}, "G goes uphill"),
        ({"part": 0.5}, "half as large"),
        ({"part": 16.0}, "take their mean"),
        ({"label": 0.9}, "not that of BCE with label 1"),
        ({"clear": False}, "optimiser.zero_grad() before backward()"),
        ({"clear": False, "label": 0.0}, "And which label"),
        ({"order": ("backward", "clear", "step")}, "wipes out what"),
        ({"order": ("clear", "step", "backward")}, "stands before backward()"),
        ({"order": (*TURN, "step")}, "optimiser.step() 2 times"),
        ({"returns": 0.5}, "return the loss, a tensor with one number: half of it"),
        ({"returns": 3.0}, "you return"),
    ],
)
def test_generator_step(mistake, message):
    verdict = check.generator_step(g_step(**mistake))
    assert verdict.passed is False
    assert message in verdict.message
    assert check.generator_step(g_step()).passed


def by_hand(D, optimiser, fakes):
    """No optimiser.step(), no BCE: softplus of the score, and G's rate times its gradient."""
    loss = nn.functional.softplus(-torch.logit(D(fakes))).mean()
    optimiser.zero_grad(set_to_none=False)
    loss.backward()
    with torch.no_grad():
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad
    return loss.item()


def in_one_batch(D, optimiser, real, fakes):
    """Both batches through D at once; the gradient goes to D's weights alone."""
    on_real, on_fakes = D(torch.cat([real, fakes])).chunk(2)
    loss = -on_real.log().mean() - (1 - on_fakes).log().mean()
    D.zero_grad()
    loss.backward(inputs=list(D.parameters()))
    optimiser.step()
    return loss.detach().numpy()[()]


class Step:
    """A class in place of a function."""

    def __call__(self, D, optimiser, fakes):
        verdict = D(fakes)
        loss = nn.BCELoss()(input=verdict, target=torch.ones_like(verdict))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss


def in_place(average, weights, decay):
    return average.mul_(decay).add_(weights, alpha=1 - decay)


@pytest.mark.parametrize(
    ("checker", "answer"),
    [
        (check.generator_step, by_hand),
        (check.generator_step, Step()),
        (check.discriminator_step, in_one_batch),
        (check.moving_average, in_place),
        (check.moving_average, lambda average, weights, decay: average.lerp_(weights, 1 - decay)),
        (
            check.moving_average,
            torch.no_grad()(lambda average, weights, decay: torch.lerp(weights, average, decay)),
        ),
        (
            check.moving_average,
            lambda average, weights, decay: average.sub_((1 - decay) * (average - weights)),
        ),
    ],
)
def test_unusual_but_right(checker, answer):
    verdict = checker(answer)
    assert verdict.passed, verdict


def test_a_step_without_return_is_examined_and_not_waiting():
    """The friend's code of exercise 3.2 returns nothing; so may a half-repaired step."""

    def silent(*arguments):
        g_step(detach=True)(*arguments)

    assert "No gradient reaches G" in check.generator_step(silent).message

    def forgetful(*arguments):
        g_step()(*arguments)

    assert "now return the loss" in check.generator_step(forgetful).message
    assert check.generator_step(lambda *_: ...).passed is None


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ("healthy", "mode collapse", "as much as faces do."),
        ("healthy", "D wins", "ahead, no more"),
        ("healthy", "oscillation", "single batches differ"),
        ("mode collapse", "healthy", "it paints nearly one picture"),
        ("mode collapse", "D wins", "a coin, and no winner"),
        ("mode collapse", "oscillation", "Its losses hardly move"),
        ("D wins", "healthy", "level at what? D believes 1.00 in faces and 0.00 in fakes"),
        ("D wins", "mode collapse", "from the first step"),
        ("D wins", "oscillation", "Nothing swings after the start"),
        ("oscillation", "healthy", "G's loss goes from"),
        ("oscillation", "mode collapse", "A collapse can be calm, this is not"),
        ("oscillation", "D wins", "G is not starved"),
    ],
)
def test_diagnosis(truth, said, message):
    (letter,) = (one for one, name in failures.PATIENTS.items() if name == truth)
    verdict = check.diagnosis({**failures.PATIENTS, letter: said})
    assert verdict.passed is False
    assert verdict.message.startswith(f"{letter}, {said}? ")
    assert message in verdict.message
    assert "{" not in verdict.message


def test_a_diagnosis_has_four_names_from_the_book():
    assert check.diagnosis(dict(failures.PATIENTS)).passed
    assert check.diagnosis(...).passed is None
    assert "Give a dict" in check.diagnosis(["healthy"]).message
    assert "Patient B is still waiting" in check.diagnosis({"A": "healthy"}).message
    unknown = check.diagnosis({**failures.PATIENTS, "C": "a cold"})
    assert "C: 'a cold' is not in the book" in unknown.message


def in_place_silently(average, weights, decay):
    average.lerp_(weights, 1 - decay)


def never_ending(average, weights, decay):
    while True:
        pass


def average_of(decay_of):
    """A moving average with another decay than the one that was asked for."""

    def update(average, weights, decay):
        return decay_of(decay) * average + (1 - decay_of(decay)) * weights

    return update


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (average_of(lambda decay: 1 - decay), "keeps 0.1"),
        (average_of(lambda decay: 0.9), "it ignores `decay`"),
        (average_of(lambda decay: 0.998), "whatever `decay` says"),
        (average_of(lambda decay: 0.5), "the mean of both"),
        (average_of(lambda decay: 1), "never moves"),
        (average_of(lambda decay: 0), "keeps nothing of itself"),
        # Right where it is first looked at; then it stands still, and the checker does not.
        (average_of(lambda decay: round(decay, 2)), "has not forgotten half after 400 steps"),
        (average_of(lambda decay: min(decay, 0.99)), "half after 69 steps; it should be 347"),
        (lambda average, weights, decay: decay * average + weights, "more than a whole"),
        (lambda average, weights, decay: average + (1 - decay) * weights, "must give way"),
        (lambda average, weights, decay: average + weights, "Not decay"),
        (lambda average, weights, decay: weights.add_(1), "changed the weights of G"),
        (lambda average, weights, decay: 0.5, "Return the new average, not"),
        (lambda average, weights, decay: average.mean(), "yours is ()"),
        (in_place_silently, "now return it"),
        (never_ending, "a loop in it never ends"),
    ],
)
def test_moving_average(update, message):
    verdict = check.moving_average(update)
    assert verdict.passed is False
    assert message in verdict.message
    assert check.moving_average(lambda average, weights, decay: None).passed is None


def slerp(start, end, parts):
    angle = torch.acos(nn.functional.cosine_similarity(start, end, dim=0))
    parts = parts[:, None]
    return (torch.sin((1 - parts) * angle) * start + torch.sin(parts * angle) * end) / angle.sin()


@pytest.mark.parametrize(
    ("walk", "message"),
    [
        (lambda a, b, n: torch.lerp(a, b, torch.linspace(0, 1, n)[:, None]), "Walk on the sphere"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 1, n - 1)), "yours is (8, 100)"),
        (lambda a, b, n: slerp(b, a, torch.linspace(0, 1, n)), "does not begin at `start`"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 0.5, n)), "does not arrive at `end`"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 1, n) ** 3), "strides are uneven"),
        (lambda a, b, n: slerp(a, b, torch.linspace(0, 1, 9)), "use `steps`"),
        (lambda a, b, n: list(slerp(a, b, torch.linspace(0, 1, n))), "torch.stack"),
        (lambda a, b, n: a + (b - a) * torch.linspace(0, 1, n)[:, None].sqrt().log(), "has NaN"),
    ],
)
def test_walk(walk, message):
    verdict = check.walk(walk)
    assert verdict.passed is False
    assert message in verdict.message
