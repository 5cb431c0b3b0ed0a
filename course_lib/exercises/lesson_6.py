"""Checkers of lesson 6: leading away from words, the size of a LoRA, a picture with two sides."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from course_lib.exercises.frame import call, checker, kind, require

LAYERS = (nn.Linear(128, 64), nn.Conv2d(64, 128, 3, padding=1), nn.Conv2d(32, 64, 1))


@checker("6.1")
def lead(steered: Callable) -> str:
    """`steered(without, wanted, unwanted, scale, away)`: one direction, away from several words."""
    without, wanted, one, other = torch.randn(4, 2, 4, 8, 8)
    for unwanted in ([], [one], [one, other]):
        for scale, away in ((2.0, 1.5), (3.0, 0.5)):
            answer = call(steered, without, wanted, unwanted, scale, away)
            require(isinstance(answer, torch.Tensor), f"Return a tensor, not {kind(answer)}.")
            require(
                answer.shape == without.shape,
                f"Return one direction, {tuple(without.shape)}, not {tuple(answer.shape)}.",
            )
            _leads(answer, (without, wanted, unwanted), scale, away)
    return "towards what is wanted, away from each of the others, and guidance where there are none"


def _leads(answer: torch.Tensor, ways: tuple, scale: float, away: float) -> None:
    """Require the direction, or say which mistake it is."""
    without, wanted, unwanted = ways
    towards = without + scale * (wanted - without)
    differences = [one - without for one in unwanted]
    right = towards - away * sum(differences) if unwanted else towards
    if torch.allclose(answer, right, atol=1e-4):
        return
    number = len(unwanted)
    require(
        number > 0, "With nothing unwanted it is guidance as in exercise 5.6, and nothing else."
    )
    wrong = {
        "You lead *towards* what is unwanted: its difference is taken away.": (
            towards + away * sum(differences)
        ),
        "Take away the *difference* that the unwanted words make, not their whole direction.": (
            towards - away * sum(unwanted)
        ),
        "Only the first of the unwanted ones counts; take away the difference of each.": (
            towards - away * differences[0]
        ),
        "You take the mean of the unwanted ones' differences: take away each whole.": (
            towards - away * sum(differences) / number
        ),
        "Measure the unwanted from no words, `without`, not from what is wanted.": (
            towards - away * sum(one - wanted for one in unwanted)
        ),
        "You lead away with `scale`; it has a strength of its own, `away`.": (
            towards - scale * sum(differences)
        ),
    }
    for message, mistake in wrong.items():
        require(not torch.allclose(answer, mistake, atol=1e-4), message)
    require(False, f"With {number} unwanted it is another direction than the text describes.")


@checker("6.2")
def lora_size(lora_numbers: Callable) -> str:
    """`lora_numbers(layer, rank)`: how many numbers a LoRA of that rank adds to a layer."""
    for layer in LAYERS:
        for rank in (1, 4):
            answer = call(lora_numbers, layer, rank)
            require(isinstance(answer, int), f"Return a whole number, not {kind(answer)}.")
            _is_size(answer, layer, rank)
    return "the same as peft counts, for a linear layer and for two convolutions"


def _is_size(answer: int, layer: nn.Module, rank: int) -> None:
    """Require the number that peft itself adds to the layer."""
    right, all_of_it = added_by_peft(layer, rank), layer.weight.numel()
    if answer == right:
        return
    what = f"{type(layer).__name__} {tuple(layer.weight.shape)} and rank {rank}"
    require(answer != all_of_it, f"{what}: that is the whole layer; B·A is much smaller.")
    require(
        answer != all_of_it + right,
        f"{what}: the layer itself stays fixed and is not counted, only A and B are.",
    )
    if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
        ends = layer.in_channels + layer.out_channels
        require(
            answer != rank * ends,
            f"{what}: A looks at the same patch as the layer does: its kernel is as large.",
        )
        patch = layer.weight[0, 0].numel()
        require(
            answer != rank * (layer.in_channels + layer.out_channels * patch),
            f"{what}: the other way round: A has the kernel of the layer, B has 1 × 1.",
        )
        require(
            answer != rank * ends * patch,
            f"{what}: A alone has the layer's kernel; B, which brings `rank` maps up, has 1 × 1.",
        )
    require(False, f"{what}: peft adds {right:,} numbers, you say {answer:,}.")


def added_by_peft(layer: nn.Module, rank: int) -> int:
    """Numbers in A and B, counted in what peft makes."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(nn.Sequential(layer), LoraConfig(r=rank, target_modules=["0"]))
    return sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)


@checker("6.3")
def two_sided(both: Callable) -> str:
    """`both(way, other_way, view, back)`: the way of a picture that is two things, by its view."""

    def way(places: torch.Tensor, _time: torch.Tensor) -> torch.Tensor:
        return 2 * places

    def other_way(places: torch.Tensor, _time: torch.Tensor) -> torch.Tensor:
        return places.cumsum(-1)  # not the same from every side

    places, time = torch.randn(2, 4, 8, 8), torch.full((2,), 0.5)
    views = {
        "half a turn": (lambda x: x.flip(-1, -2), lambda x: x.flip(-1, -2)),
        "a quarter turn": (lambda x: x.rot90(1, (-2, -1)), lambda x: x.rot90(-1, (-2, -1))),
    }
    for name, (view, back) in views.items():
        velocity = call(both, way, other_way, view, back)
        require(
            callable(velocity),
            f"Return a function of places and time, as `way` is one, not {kind(velocity)}.",
        )
        answer = call(velocity, places, time)
        right = (way(places, time) + back(other_way(view(places), time))) / 2
        if torch.allclose(answer, right, atol=1e-5):
            continue
        _why_not(answer, (way, other_way, view, back), places, time, name)
    return "right for half a turn, and for a quarter turn, which is not its own way back"


def _why_not(answer, parts, places: torch.Tensor, time: torch.Tensor, name: str) -> None:
    way, other_way, view, back = parts
    one, seen = way(places, time), other_way(view(places), time)
    wrong = {
        "You added the two ways: take their mean, or each step is twice as long.": one + back(seen),
        "The other way is that of the turned picture: turn it *back* before you add it.": (
            one + seen
        )
        / 2,
        "Show the other way the picture as it looks turned, `view(places)`.": (
            one + back(other_way(places, time))
        )
        / 2,
        "Both views were forgotten: `other_way` must see `view(places)`, and its answer must be "
        "turned `back`.": (one + other_way(places, time)) / 2,
        "You turned the answer by `view` once more; `back` is what undoes it.": (one + view(seen))
        / 2,
    }
    for message, mistake in wrong.items():
        require(
            not (answer.shape == mistake.shape and torch.allclose(answer, mistake, atol=1e-5)),
            f"With {name}: {message}",
        )
    require(False, f"With {name} it is another direction than the mean of the two ways.")
