"""What lesson 4's checkers say about the mistakes that students make."""

import pytest
import torch
from torch.nn import functional as F

from course_lib import exercises as check


@pytest.mark.parametrize(
    ("find", "says"),
    [
        (lambda t, v, k: (v @ t).topk(k).indices, "You compare lengths as well"),
        (lambda t, v, k: (-(v - t).norm(dim=1)).topk(k).indices, "You compare distances"),
        (lambda t, v, k: (-F.cosine_similarity(t[None], v)).topk(k).indices, "least like it"),
        (lambda t, v, k: F.cosine_similarity(t[None], v).topk(k).values, "a tensor of k integers"),
        (lambda t, v, k: F.cosine_similarity(t[None], v).topk(k).indices.flip(0), "Not the five"),
    ],
)
def test_retrieve(find, says):
    verdict = check.retrieve(find)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.retrieve(lambda t, v, k: F.cosine_similarity(t[None], v).topk(k).indices).passed


def right(facts, face):
    return not all(
        face[name] != "no" if value == "yes" else face[name] == value
        for name, value in facts.items()
    )


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (lambda facts, face: facts != face, "need not say everything"),
        (lambda facts, face: not right(facts, face), "need not say everything"),
        (
            lambda facts, face: all(face[n] != v for n, v in facts.items()),
            "One wrong fact is enough",
        ),
        (
            lambda facts, face: set(facts.values()) - set(face.values()) != set(),
            "It says blue hair",
        ),
        (lambda facts, face: any(face[n] != v for n, v in facts.items()), "means any glasses"),
        (lambda facts, face: 1, "Return True or False"),
        (lambda facts, face: None, "returned nothing"),
        (lambda facts, face: any(facts[n] != v for n, v in face.items()), "go through the facts"),
    ],
)
def test_misfit(answers, says):
    verdict = check.misfit(answers)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.misfit(right).passed


def loss(wrong=1.0, sign=1, weight=0.5):
    def of(fits, fakes, misfits):
        zero = weight * (F.softplus(fakes).mean() + wrong * F.softplus(sign * misfits).mean())
        return F.softplus(-fits).mean() + zero

    return of


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (loss(wrong=0, weight=1), "The misfits are missing"),
        (loss(sign=-1, weight=1), "You call the misfits class 1"),
        (loss(sign=-1), "You call the misfits class 1"),
        (loss(weight=1), "one half each"),
        (loss(weight=0.1), "For the test's scores"),
        (lambda *scores: torch.cat(scores), "one number"),
        (lambda fits, *others: loss()(-fits, *(-one for one in others)), "Turned round"),
        (
            lambda fits, *others: (
                F.softplus(-fits).sum() + sum(F.softplus(one).sum() for one in others) / 2
            ),
            "a kind with more pairs",
        ),
        (
            lambda fits, *others: F.softplus(-fits).mean() + F.softplus(torch.cat(others)).mean(),
            "in one mean",
        ),
    ],
)
def test_matching_loss(answer, says):
    verdict = check.matching_loss(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.matching_loss(loss()).passed


def test_an_empty_exercise_waits():
    assert check.retrieve(lambda *_: ...).passed is None
    assert check.misfit(lambda *_: ...).passed is None
    assert check.matching_loss(...).passed is None
