"""What lesson 6's checkers say about the mistakes that students make."""

import pytest
import torch
from torch import nn

from course_lib import exercises as check


def steered(without, wanted, unwanted, scale, away):
    towards = without + scale * (wanted - without)
    return towards - away * sum([one - without for one in unwanted], torch.zeros_like(without))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda w, t, u, s, a: w + s * (t - w) + a * sum([o - w for o in u], 0 * w), "*towards*"),
        (lambda w, t, u, s, a: w + s * (t - w) - a * sum(u, 0 * w), "the *difference*"),
        (lambda w, t, u, s, a: w + s * (t - w) - a * sum(o - w for o in u[:1]), "Only the first"),
        (
            lambda w, t, u, s, a: w + s * (t - w) - a * sum(o - w for o in u) / max(len(u), 1),
            "take away each whole",
        ),
        (lambda w, t, u, s, a: w + s * (t - w) - a * sum(o - t for o in u), "from no words"),
        (
            lambda w, t, u, s, a: w + s * (t - w) - s * sum(o - w for o in u),
            "a strength of its own",
        ),
        (lambda w, t, u, s, a: t, "guidance as in exercise 5.6"),
        (lambda w, t, u, s, a: steered(w, t, u, s, 3 * a), "another direction"),
        (lambda w, t, u, s, a: w[:1], "Return one direction"),
        (lambda w, t, u, s, a: 1.0, "Return a tensor"),
    ],
)
def test_lead(answer, says):
    verdict = check.lead(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.lead(steered).passed
    assert check.lead(lambda *parts: ...).passed is None


def size(layer, rank):
    if isinstance(layer, nn.Linear):
        return rank * (layer.in_features + layer.out_features)
    patch = layer.kernel_size[0] * layer.kernel_size[1]
    return rank * (layer.in_channels * patch + layer.out_channels)


def ends(layer):
    return layer.weight.shape[0] + layer.weight.shape[1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda layer, rank: layer.weight.numel(), "that is the whole layer"),
        (lambda layer, rank: layer.weight.numel() + size(layer, rank), "stays fixed"),
        (lambda layer, rank: rank * ends(layer), "its kernel is as large"),
        (
            lambda layer, rank: (
                rank * ends(layer) * layer.weight[0].numel() // layer.weight.shape[1]
            ),
            "B, which brings `rank` maps up, has 1 × 1",
        ),
        (
            lambda layer, rank: (
                rank * (layer.weight.shape[1] + layer.weight[:, 0].numel())
                if isinstance(layer, nn.Conv2d)
                else size(layer, rank)
            ),
            "the other way round",
        ),
        (lambda layer, rank: float(size(layer, rank)), "a whole number"),
        (lambda layer, rank: size(layer, 1), "peft adds"),
    ],
)
def test_lora_size(answer, says):
    verdict = check.lora_size(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.lora_size(size).passed
    assert check.lora_size(lambda layer, rank: ...).passed is None


def both(way, other_way, view, back):
    return lambda places, time: (way(places, time) + back(other_way(view(places), time))) / 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda w, o, v, b: lambda p, t: w(p, t) + b(o(v(p), t)), "take their mean"),
        (lambda w, o, v, b: lambda p, t: (w(p, t) + o(v(p), t)) / 2, "turn it *back*"),
        (lambda w, o, v, b: lambda p, t: (w(p, t) + b(o(p, t))) / 2, "as it looks turned"),
        (lambda w, o, v, b: lambda p, t: (w(p, t) + o(p, t)) / 2, "Both views were forgotten"),
        (
            lambda w, o, v, b: lambda p, t: (w(p, t) + v(o(v(p), t))) / 2,
            "With a quarter turn: You turned",
        ),
        (lambda w, o, v, b: w(0, 0), "Return a function"),
        (lambda w, o, v, b: w, "another direction"),
    ],
)
def test_two_sided(answer, says):
    verdict = check.two_sided(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.two_sided(both).passed
    assert check.two_sided(lambda *parts: ...).passed is None
