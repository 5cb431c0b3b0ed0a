"""Lesson 4's exercises: who is near a thought, which words do not fit, and what D should learn."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from course_lib.exercises.frame import call, checker, kind, require, run


@checker("4.1")
def retrieve(find: Callable) -> str:
    """`find(thought, looks, k)`: the k faces that point most in the thought's direction."""
    thought, looks = torch.randn(8), torch.randn(40, 8)
    looks = looks * torch.linspace(0.2, 5, 40)[:, None]  # long ones and short ones
    answer = call(find, thought, looks, 5)
    require(
        isinstance(answer, torch.Tensor)
        and answer.shape == (5,)
        and not answer.is_floating_point(),
        "Return the numbers of k faces, a tensor of k integers; `topk` gives values and indices.",
    )
    likeness = F.cosine_similarity(thought[None], looks)

    def same(values: torch.Tensor) -> bool:
        return answer.tolist() == values.topk(5).indices.tolist()

    require(not same(-likeness), "These are the five that are least like it.")
    require(
        not same(looks @ thought),
        "You compare lengths as well: a long vector wins whatever it points to. Divide by both "
        "lengths, or use F.cosine_similarity.",
    )
    require(
        not same(-(looks - thought).norm(dim=1)),
        "You compare distances, and so lengths as well. Only the direction of a thought counts.",
    )
    require(same(likeness), "Not the five most similar ones, most similar first.")
    return "Found by direction alone, as CLIP does."


@checker("4.2")
def misfit(answers: Callable) -> str:
    """`answers(facts, face)`: True if a caption with these facts is *not* true of a face."""
    face = {"hair_color": "red", "eye_color": "blue", "glasses": "round", "cat_ears": "no"}
    cases = [
        ({"hair_color": "red"}, False, "A caption need not say everything: it says red hair, and "
         "the hair is red. It fits, whatever else is in the picture."),
        ({"hair_color": "red", "eye_color": "blue"}, False, "All that it says is so: it fits."),
        ({"hair_color": "blue"}, True, "It says blue hair, the hair is red: that does not fit."),
        ({"hair_color": "red", "eye_color": "green"}, True, "One wrong fact is enough: they are "
         "blue eyes, not green ones."),
        ({"hair_color": "blue", "eye_color": "red"}, True, "The right colours in wrong places."),
        ({"glasses": "yes"}, False, 'The fact "yes" means any glasses: round ones will do.'),
        ({"cat_ears": "yes"}, True, "There are no cat ears in the picture."),
        ({"glasses": "square"}, True, "They are round glasses, not square ones."),
        ({}, False, "A caption that says nothing fits every face."),
    ]  # fmt: skip
    for facts, expected, why in cases:
        try:
            answer = run(answers, dict(facts), dict(face))
        except KeyError as missing:
            require(False, f"{missing} is not in both: go through the facts, not through the face.")
        require(answer is not None, f"For {facts or 'no facts'} your function returned nothing.")
        require(isinstance(answer, bool), f"Return True or False, not {kind(answer)}.")
        require(answer == expected, f"{facts or 'no facts'} beside {face}: {why}")
    return "Misfits really do not fit, and what fits by chance is no misfit."


@checker("4.3")
def matching_loss(loss: Callable) -> str:
    """`loss(fits, fakes, misfits)`: D's loss from the scores of the three kinds of pair."""
    fits, fakes, misfits = torch.randn(16) + 1, torch.randn(16) - 1, torch.randn(10)
    answer = call(loss, fits, fakes, misfits)
    require(
        isinstance(answer, torch.Tensor) and answer.ndim == 0,
        "Return one number, a tensor without dimensions.",
    )
    one = F.softplus(-fits).mean()
    fake, wrong = F.softplus(fakes).mean(), F.softplus(misfits).mean()

    def close(value: torch.Tensor) -> bool:
        return torch.allclose(answer, value, rtol=1e-3, atol=1e-4)

    require(
        not close(one + fake), "The misfits are missing: that is the D of lesson 3, with words."
    )
    praised = F.softplus(-misfits).mean()
    require(
        not close(one + fake + praised) and not close(one + (fake + praised) / 2),
        "You call the misfits class 1. The picture is real, but the words are wrong: class 0.",
    )
    require(
        not close(one + fake + wrong),
        "All three kinds are there, but class 0 counts twice as much as class 1: D would rather "
        "say no. Give fakes and misfits one half each.",
    )
    require(
        not close(
            F.softplus(fits).mean() + (F.softplus(-fakes).mean() + F.softplus(-misfits).mean()) / 2
        ),
        "Turned round: this D would push fitting pairs down and the others up.",
    )
    require(
        not close(
            F.softplus(-fits).sum() + (F.softplus(fakes).sum() + F.softplus(misfits).sum()) / 2
        ),
        "You add up where a mean is meant: then a kind with more pairs counts more.",
    )
    require(
        not close(one + F.softplus(torch.cat([fakes, misfits])).mean()),
        "Fakes and misfits in one mean: the kind with more pairs counts more. One mean for each.",
    )
    require(
        close(one + (fake + wrong) / 2),
        f"For the test's scores the loss is {(one + (fake + wrong) / 2).item():.4f}, yours is "
        f"{answer.item():.4f}.",
    )
    return "Real and fitting on one side, forged or misfit on the other, in balance."
