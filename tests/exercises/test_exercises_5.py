"""What lesson 5's checkers say about the mistakes that students make."""

from copy import deepcopy
from functools import partial
from itertools import pairwise

import pytest
import torch
from diffusers import StableDiffusionPipeline, UniPCMultistepScheduler

from course_lib import exercises as check
from course_lib import faces, text
from course_lib import latent_diffusion as ld
from course_lib.latent_diffusion import flow


def on_the_way(data, noise, time):
    time = time.view(-1, 1, 1, 1)
    return (1 - time) * data + time * noise


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda d, n, t: on_the_way(n, d, t), "Turned round"),
        (lambda d, n, t: d + t.view(-1, 1, 1, 1) * n, "keep all of the data"),
        (
            lambda d, n, t: (1 - t.view(-1, 1, 1, 1)).sqrt() * d + t.view(-1, 1, 1, 1).sqrt() * n,
            "round road",
        ),
        (lambda d, n, t: on_the_way(d, n, t)[:, :1], "shape"),
        (lambda d, n, t: on_the_way(d, n, t) * 0.9, "straight road"),
        (lambda d, n, t: 1, "Return a tensor"),
        (lambda d, n, t: (1 - t) * d + t * n, "`time.view(-1, 1, 1, 1)`"),
        (lambda d, n, t: d @ n[..., :1, :2], "stopped with RuntimeError"),
    ],
)
def test_add_noise(answer, says):
    verdict = check.add_noise(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.add_noise(on_the_way).passed
    assert check.add_noise(flow.add_noise).passed


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda a, b, s: b + s * (b - a), "Begin at the one without"),
        (lambda a, b, s: a + s * b, "difference"),
        (lambda a, b, s: a + s * (b - a) * 0.5, "With scale 1"),
        (lambda a, b, s: 1, "Return one direction"),
    ],
)
def test_guidance(answer, says):
    verdict = check.guidance(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.guidance(flow.guided).passed


def walk(velocity, noise, times, sign=1, late=False, skip=0):
    places = noise
    for i in range(skip, len(times) - 1):
        now, then = times[i], times[i + 1]
        asked = then if late else now
        places = places + sign * (then - now) * velocity(places, asked.expand(len(places)))
    return places


def walk_in_place(velocity, noise, times):
    for now, then in pairwise(times):
        noise += (then - now) * velocity(noise, now.expand(len(noise)))
    return noise


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda v, n, t: walk(v, n, t, sign=-1), "walk away"),
        (lambda v, n, t: walk(v, n, t, late=True), "at which a piece begins"),
        (lambda v, n, t: walk(v, n, t, skip=1), "3 pieces"),
        (lambda v, n, t: [walk(v, n, t)], "last places only"),
        (lambda v, n, t: walk(lambda p, at: v(p, at[0]), n, t), "a time for each"),
    ],
)
def test_sampler(answer, says):
    verdict = check.sampler(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.sampler(walk).passed
    assert check.sampler(walk_in_place).passed
    assert check.sampler(lambda v, n, t: flow.euler(v, n, t)[-1]).passed


def in_decibels(one, other, peak=4.0):
    squares = (one - other).square().mean((1, 2, 3))
    return (10 * (peak / squares).log10()).mean()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda a, b: in_decibels(a, b, 1.0), "the range is 2"),
        (lambda a, b: in_decibels(a, b, 2.0), "one of squares"),
        (lambda a, b: 10 * (4 / (a - b).square().mean((1, 2, 3))).log10(), "not (3,) of them"),
        (lambda a, b: -in_decibels(a, b), "The sign"),
        (lambda a, b: in_decibels(a, b) * 2.302585, "natural logarithm"),
        (lambda a, b: 10 * (4 / (a - b).square().mean()).log10(), "over all images"),
        (lambda a, b: 10 * (2 / (a - b).abs().mean((1, 2, 3))).log10().mean(), "squares"),
        (lambda a, b: (a - b).square(), "one number"),
        (lambda a, b: 12.0, "not 12.0"),
    ],
)
def test_decibels(answer, says):
    verdict = check.decibels(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.decibels(in_decibels).passed
    assert check.decibels(lambda a, b: in_decibels(a, b).item()).passed


def loss(unet, latents, states, noise, time, *, sign=1, many=1000, towards=None, of="mean"):
    answer = unet(on_the_way(latents, noise, time), many * time, states).sample
    target = sign * (noise - latents) if towards is None else {"n": noise, "d": latents}[towards]
    return getattr((answer - target).square(), of)()


def by_name(unet, latents, states, noise, time):
    places = on_the_way(latents, noise, time)
    answer = unet(places, timestep=1000 * time, encoder_hidden_states=states).sample
    return (answer - (noise - latents)).square().mean()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (partial(loss, sign=-1), "Yours points away"),
        (partial(loss, many=1), "1000 · time"),
        (partial(loss, many=500), "other times"),
        (partial(loss, towards="n"), "names the noise"),
        (partial(loss, towards="d"), "names the data"),
        (partial(loss, of="sum"), "take the mean"),
        (lambda *given: loss(*given).item(), "Nothing could learn"),
        (torch.no_grad()(loss), "Nothing could learn"),
        (lambda u, d, s, n, t: loss(u, d, s, n * t, t), "`time.view(-1, 1, 1, 1)`"),
        (lambda u, d, s, n, t: loss(u, d, 2 * s, n, t), "words"),
        (lambda u, d, s, n, t: loss(u, d, s, d, t), "without any noise"),
        (lambda u, d, s, n, t: loss(u, n, s, d, t), "Turned round"),
        (lambda u, d, s, n, t: loss(u, d, s, 2 * n, t), "straight road"),
        (lambda u, d, s, n, t: loss(u, d, s, n, t) + loss(u, d, s, n, t), "2 ×"),
        (lambda u, d, s, n, t: loss(u, d, s, n, t) + 1, "squared"),
        (lambda u, d, s, n, t: u(on_the_way(d, n, t), 1000 * t, s).sample - n + d, "one number"),
    ],
)
def test_flow_loss(answer, says):
    verdict = check.flow_loss(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.flow_loss(loss).passed
    assert check.flow_loss(by_name).passed


def look(q, k, v, part=4.0, dim=-1):
    return (q @ k.T / part).softmax(dim) @ v


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (partial(look, part=1), "one token takes all"),
        (partial(look, part=16), "not by d"),
        (partial(look, dim=0), "over the *places*"),
        (lambda q, k, v: q @ k.T / 4 @ v, "no shares"),
        (lambda q, k, v: (q @ k.T / 4).softmax(-1), "`weights @ values`"),
        (lambda q, k, v: look(q, k, v).T, "return (6, 5)"),
        (lambda q, k, v: 2 * look(q, k, v), "weighted by"),
        (lambda q, k, v: 1, "Return a tensor"),
    ],
)
def test_attention(answer, says):
    verdict = check.attention(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.attention(look).passed
    assert check.attention(torch.nn.functional.scaled_dot_product_attention).passed


def test_an_empty_exercise_waits():
    assert check.flow_loss(lambda *_: ...).passed is None
    assert check.attention(lambda *_: ...).passed is None
    assert check.add_noise(lambda *_: ...).passed is None
    assert check.guidance(lambda *_: ...).passed is None
    assert check.sampler(lambda *_: ...).passed is None
    assert check.decibels(lambda *_: ...).passed is None


# The pipeline


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    unet, autoencoder = ld.new_unet((16, 32)), ld.new_autoencoder((8, 16, 16))
    return ld.assemble(unet.eval(), autoencoder.eval(), text.load())


def swapped(pipeline, scheduler=None):
    scheduler = scheduler or UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    return StableDiffusionPipeline.from_pipe(pipeline, scheduler=scheduler)


def in_place(pipeline):
    pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    return pipeline


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda p: p, "the pipeline that you were given"),
        (lambda p: swapped(p, p.scheduler), "still walks with DPMSolver"),
        (in_place, "You changed the pipeline"),
        (lambda p: in_place(deepcopy(p)), "a copy of the U-Net"),
        (lambda p: swapped(p, UniPCMultistepScheduler()), "a direction of a flow"),
        (lambda p: p.scheduler, "Return a pipeline"),
    ],
)
def test_swap_scheduler(answer, says, pipeline):
    for _ in range(2):  # what a wrong answer has changed is put back
        verdict = check.swap_scheduler(answer, pipeline)
        assert verdict.passed is False
        assert says in verdict.message
    assert check.swap_scheduler(swapped, pipeline).passed


def first(**wanted) -> torch.Tensor:
    """A held-out face of that kind."""
    known = faces.load("held-out")
    rows = enumerate(known.attributes)
    return known[[next(i for i, row in rows if row.items() >= wanted.items())]].tensor()


def repainted(_pipeline, image, _prompt, strength):
    """What a good painter would return."""
    return image + 0.01 if strength < 0.5 else first(hair_color="red")


def warn(*given):
    """What diffusers does with an image that is not in [0, 1]."""
    from diffusers.image_processor import VaeImageProcessor

    VaeImageProcessor().preprocess(-torch.ones(1, 3, 64, 64))
    return repainted(*given)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda p, i, w, s: (repainted(p, i, w, s) + 1) / 2, "Nothing is below 0"),
        (lambda p, i, w, s: repainted(p, i, w, 1 - s), "more than with 0.9"),
        (lambda p, i, w, s: i + 0.02, "as much as with 0.9"),
        (warn, "hand on (image + 1) / 2"),
        (lambda p, i, w, s: i + 0.02 * s, "0 of 3 have red hair"),
        (lambda p, i, w, s: -i if s < 0.5 else -i * 1.2 - 0.2, "too much"),
        (lambda p, i, w, s: repainted(p, i, w, s)[0], "The picture is (3, 64, 64)"),
        (lambda p, i, w, s: "a picture", "Return a tensor"),
    ],
)
def test_image_to_image(answer, says):
    verdict = check.image_to_image(answer, object())
    assert verdict.passed is False
    assert says in verdict.message
    assert check.image_to_image(repainted, object()).passed


def where(painted, image, rows=(26, 42), columns=(12, 52)):
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[slice(*rows), slice(*columns)] = True
    return torch.where(mask, painted, image)


def with_eyes_of(image, other):
    changed = image.clone()
    changed[..., 24:44, 10:54] = other[..., 24:44, 10:54]
    return changed


def green(_pipeline, image, colour):
    return with_eyes_of(image, first(eye_color=colour, glasses="no", eye_shape="round"))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda p, i, c: first(eye_color=c), "far from the eyes"),
        (lambda p, i, c: i, "0 of 3 have, by the judge, the eyes"),
        (lambda p, i, c: green(p, i, "green"), "1 of 3 have, by the judge, the eyes"),
        (
            lambda p, i, c: where(first(eye_color=c), i, rows=(12, 52), columns=(26, 42)),
            "Rows come",
        ),
        (lambda p, i, c: where(i, first(eye_color=c)), "1 in the mask is where"),
        (lambda p, i, c: green(p, i, c).abs(), "Nothing is below 0"),
    ],
)
def test_inpainting(answer, says):
    verdict = check.inpainting(answer, object())
    assert verdict.passed is False
    assert says in verdict.message
    assert check.inpainting(green, object()).passed


def test_empty_exercises_of_the_pipeline_wait(pipeline):
    for checker in (check.swap_scheduler, check.image_to_image, check.inpainting):
        assert checker(lambda *_: ..., pipeline).passed is None
