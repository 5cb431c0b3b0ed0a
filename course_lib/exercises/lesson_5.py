"""Lesson 5's exercises: into noise and back, what is lost, guidance, and the pipeline."""

import warnings
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import torch

from course_lib import faces, judge
from course_lib.exercises.frame import call, checker, kind, require


@checker("5.1")
def add_noise(noisy: Callable) -> str:
    """`noisy(data, noise, time)`: the place on the way from data to noise, a time for each."""
    data, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    time = torch.tensor([0.0, 0.25, 1.0])
    answer = _beside(noisy, data, noise, time)
    require(isinstance(answer, torch.Tensor), f"Return a tensor, not {kind(answer)}.")
    require(
        answer.shape == data.shape,
        f"The answer is {tuple(answer.shape)}, the data {tuple(data.shape)}: give each time the "
        "shape (B, 1, 1, 1), so that it counts for a whole picture.",
    )
    beside = time.view(-1, 1, 1, 1)

    def close(value: torch.Tensor) -> bool:
        return torch.allclose(answer, value, atol=1e-5)

    require(
        not close(beside * data + (1 - beside) * noise),
        "Turned round: at time 0 there is no noise, at time 1 nothing else.",
    )
    require(
        not close(data + beside * noise),
        "You add noise and keep all of the data: at time 1 the picture would still be there.",
    )
    require(
        not close((1 - beside).sqrt() * data + beside.sqrt() * noise),
        "That is the round road of Ho et al. 2020, which keeps the variance. Ours is straight.",
    )
    require(
        close((1 - beside) * data + beside * noise), "Not on the straight road between the two."
    )
    return "At time 0 a picture, at time 1 noise, and a straight road between."


def _beside(answer: Callable, *arguments):
    """As `call`, with a hint for who multiplies pictures (B, C, H, W) with a time (B,)."""
    try:
        return call(answer, *arguments)
    except RuntimeError as error:
        require(
            "size of tensor" not in str(error),
            "A time (B,) cannot be multiplied with pictures (B, C, H, W) as it stands: "
            "`time.view(-1, 1, 1, 1)` gives each picture its own.",
        )
        raise


@checker("5.2")
def sampler(walk: Callable) -> str:
    """`walk(velocity, noise, times)`: Euler's way from noise to data."""
    target = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    noise = torch.randn(2, 2)
    asked, shapes = [], set()

    def velocity(places: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        asked.append(torch.as_tensor(time).flatten()[0].item())
        shapes.add(tuple(torch.as_tensor(time).shape))
        return (places - target) / torch.as_tensor(time).reshape(-1, 1)  # to one point, straight

    times = torch.tensor([1.0, 0.7, 0.2, 0.0])
    answer = call(walk, velocity, noise.clone(), times)  # who walks in place may
    require(
        isinstance(answer, torch.Tensor) and answer.shape == noise.shape,
        "Return the last places only, a tensor of the noise's shape.",
    )
    require(
        len(asked) == 3,
        f"There are 3 pieces between 4 times; the network was asked {len(asked)} times.",
    )
    require(
        torch.allclose(torch.tensor(asked), times[:-1], atol=1e-6),
        "Ask the network at the time at which a piece begins.",
    )
    require(
        shapes == {(2,)},
        "Tell the network a time for each of the B places, (B,): `now.expand(len(places))`.",
    )
    away = noise
    for now, then in pairwise(times):
        away = away - (then - now) * (away - target) / now
    require(
        not torch.allclose(answer, away, atol=1e-3),
        "You walk away from the data: times fall, so a piece's length, then − now, is negative.",
    )
    require(torch.allclose(answer, target, atol=1e-4), "The walk does not end where it should.")
    return "Straight pieces, each in the direction asked for at its beginning."


@checker("5.3")
def decibels(measure: Callable) -> str:
    """`measure(one, other)`: PSNR of images in [-1, 1], the mean over a batch."""
    other = torch.rand(3, 3, 8, 8) - 0.5
    off = torch.tensor([0.2, 0.02, 0.002]).view(-1, 1, 1, 1)  # 20, 40 and 60 dB
    answer = call(measure, other + off, other)
    number = torch.as_tensor(answer).float()
    require(
        number.numel() == 1,
        f"Return one number, the mean over the images, not {tuple(number.shape)} of them.",
    )
    value = number.item()
    squares = (off.square().mean()).item()
    pooled = 10 * torch.tensor(4 / squares).log10().item()

    def near(wanted: float) -> bool:
        return abs(value - wanted) < 0.05

    require(
        not near(40 - 20 * torch.tensor(2.0).log10().item()),
        "Images run from −1 to 1: the range is 2, its square 4.",
    )
    require(
        not near(40 - 10 * torch.tensor(2.0).log10().item()),
        "The range is 2, but the ratio is one of squares: 4 / mean square.",
    )
    require(not near(-40), "The sign: 10 · log₁₀(4 / mean square), and not of what is under it.")
    require(not near(40 * 2.302585), "That is the natural logarithm; decibels take log₁₀.")
    require(not near(20), "Ten times the logarithm of a ratio of *squares*.")
    require(
        not near(pooled),
        "You take the mean square over all images: the worst one then decides alone. Take each "
        "image's decibels first, then their mean.",
    )
    require(near(40), f"Three images that are 0.2, 0.02 and 0.002 off: 40 dB, not {value:.1f}.")
    return "6 dB more is half the error; 20 dB more a tenth."


@checker("5.4")
def flow_loss(loss: Callable) -> str:
    """`loss(unet, latents, states, noise, time)`: the mean square that the painter learns from."""
    latents, noise, states = torch.randn(3, 4, 5, 5), torch.randn(3, 4, 5, 5), torch.randn(3, 7, 6)
    time = torch.tensor([0.1, 0.5, 0.9])
    said, asked = torch.randn(3, 4, 5, 5, requires_grad=True), []

    def unet(sample, timestep, encoder_hidden_states) -> SimpleNamespace:  # diffusers' own names
        asked.append((sample, torch.as_tensor(timestep).flatten(), encoder_hidden_states))
        return SimpleNamespace(sample=said)

    answer = torch.as_tensor(_beside(loss, unet, latents, states, noise, time)).float()
    require(len(asked) == 1, f"Ask the U-Net once, with everything; it was asked {len(asked)} ×.")
    places, times, words = asked[0]
    beside = time.view(-1, 1, 1, 1)
    require(not torch.allclose(places, latents), "The U-Net saw latents without any noise.")
    require(
        not torch.allclose(places, beside * latents + (1 - beside) * noise, atol=1e-5),
        "Turned round: at time 0 there is no noise, at time 1 nothing else.",
    )
    require(
        torch.allclose(places, (1 - beside) * latents + beside * noise, atol=1e-5),
        "The U-Net should see the place on the straight road (exercise 5.1).",
    )
    require(
        not torch.allclose(times.float(), time, atol=1e-5),
        "diffusers counts times from 0 to 1000, and this U-Net has learnt so: hand on 1000 · time.",
    )
    require(
        torch.allclose(times.float(), 1000 * time, atol=1e-2), "The U-Net was told other times."
    )
    require(words is states, "Hand on the words as well: `unet(places, times, states)`.")
    require(answer.numel() == 1, "Return one number: the mean over everything.")
    require(
        answer.requires_grad,
        "Nothing could learn from that: return the tensor itself, without `.item()`, `.detach()` "
        "or `no_grad`, so that gradients find their way back.",
    )

    def is_(target: torch.Tensor) -> bool:
        return torch.allclose(answer, (said - target).square().mean(), atol=1e-4)

    way = noise - latents
    require(not is_(-way), "The direction points to the noise: noise − latents. Yours points away.")
    require(not is_(noise), "That is the loss of a network that names the noise; ours names a way.")
    require(
        not is_(latents), "That is the loss of a network that names the data; ours names a way."
    )
    require(
        not torch.allclose(answer, (said - way).square().sum(), rtol=1e-4),
        "The sum grows with the picture: take the mean.",
    )
    require(is_(way), "Compare the U-Net's answer with the direction, noise − latents, squared.")
    return "Noise it, ask which way, compare: all that a painter of latents learns from."


@checker("5.5")
def attention(look: Callable) -> str:
    """`look(queries, keys, values)`: for each query a mean of the values, weighted by the keys."""
    queries, keys, values = 3 * torch.randn(6, 16), torch.randn(4, 16), torch.randn(4, 5)
    answer = call(look, queries, keys, values)
    require(isinstance(answer, torch.Tensor), f"Return a tensor, not {kind(answer)}.")
    alike = queries @ keys.T

    def is_(weights: torch.Tensor) -> bool:
        return answer.shape == (6, 5) and torch.allclose(answer, weights @ values, atol=1e-4)

    require(
        answer.shape != (6, 4),
        "That is how much each place looks at each token. Now take the mean of the values with "
        "these weights: `weights @ values`.",
    )
    require(
        answer.shape == (6, 5),
        f"For 6 queries and values of 5 numbers return (6, 5), not {tuple(answer.shape)}.",
    )
    require(
        not is_(alike.softmax(1)), "Without 1/√d, d the length of a query, one token takes all."
    )
    require(
        not any(is_((alike / part).softmax(0)) for part in (1, 4, 16)),
        "Your weights sum up to 1 over the *places*. Each place shares its look among the tokens: "
        "take the softmax over those, `dim=-1`.",
    )
    require(not is_(alike / 4), "Without softmax the weights are no shares: they must sum up to 1.")
    require(not is_((alike / 16).softmax(1)), "Divide by √d, not by d.")
    require(
        is_((alike / 4).softmax(1)), "Not the mean of the values, weighted by softmax(Q Kᵀ / √d)."
    )
    return "A place asks, the tokens answer: softmax(Q Kᵀ / √d) V."


@checker("5.6")
def guidance(guided: Callable) -> str:
    """`guided(without, with_words, scale)`: the direction, further than the words say."""
    without, told = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    for scale in (0.0, 1.0, 4.0):
        answer = call(guided, without, told, scale)
        require(
            isinstance(answer, torch.Tensor) and answer.shape == without.shape,
            f"Return one direction, {tuple(without.shape)}, not {kind(answer)}.",
        )
        right = without + scale * (told - without)
        if torch.allclose(answer, right, atol=1e-4):
            continue
        require(
            not torch.allclose(answer, told + scale * (told - without), atol=1e-4),
            "You begin at the direction *with* words: then scale 0 would still be told. Begin at "
            "the one without.",
        )
        require(
            not torch.allclose(answer, without + scale * told, atol=1e-4),
            "What is multiplied is the *difference* that the words make.",
        )
        require(False, f"With scale {scale:g} it should be {_says(scale)}.")
    return "0 hears nothing, 1 hears, 4 exaggerates."


def _says(scale: float) -> str:
    return {0.0: "the direction without words", 1.0: "the direction with words"}.get(
        scale, "four times as far from the one without as the one with words is"
    )


@checker("5.7")
def swap_scheduler(swapped: Callable, pipeline) -> str:
    """`swapped(pipeline)`: a pipeline of the same networks that walks with UniPC."""
    before = pipeline.scheduler
    other = call(swapped, pipeline)
    unchanged = pipeline.scheduler is before
    pipeline.scheduler = before  # for the next try, and for the cells below
    require(
        hasattr(other, "unet") and hasattr(other, "scheduler"),
        f"Return a pipeline, not {kind(other)}.",
    )
    require(
        unchanged,
        "You changed the pipeline that you were given: others still use it. Make another one of "
        "its parts, with `from_pipe`.",
    )
    require(
        other is not pipeline,
        "That is the pipeline that you were given. Make another of its parts, with `from_pipe`.",
    )
    require(
        other.unet is pipeline.unet,
        "That is a copy of the U-Net, which fills the memory twice: `from_pipe` shares the parts.",
    )
    found = type(other.scheduler).__name__
    require(found == "UniPCMultistepScheduler", f"It still walks with {found}.")
    require(
        other.scheduler.config.prediction_type == "flow_prediction"
        and other.scheduler.config.use_flow_sigmas,
        "The new scheduler does not know that this network names a direction of a flow, and would "
        "take it for noise: make it with `from_config(pipeline.scheduler.config)`.",
    )
    return "The same networks, another walk: a scheduler has no weights."


@checker("5.8")
def image_to_image(repaint: Callable, pipeline) -> str:
    """`repaint(pipeline, image, prompt, strength)`: an image painted anew, a part of the way."""
    some = [face for face in _known() if face[1]["hair_color"] in ("brown", "black")][:3]
    red, apart = 0, {}
    for image, _ in some:
        for strength in (0.3, 0.9):
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                answer = _picture(call(repaint, pipeline, image, "red hair", strength), image)
            require(
                not any("value range in [-1,1]" in str(one.message) for one in warned),
                "diffusers wants your image in [0, 1]: hand on (image + 1) / 2. It took the other "
                "only with a warning.",
            )
            apart.setdefault(strength, []).append((answer - image).abs().mean().item())
            red += strength == 0.9 and judge.read(answer).names[0]["hair_color"] == "red"
    little, much = (sum(apart[strength]) / len(some) for strength in (0.3, 0.9))
    require(
        little < 1.5 * much,
        "With strength 0.3 the picture changes more than with 0.9: hand `strength` on as it is; 1 "
        "is all noise.",
    )
    require(
        little < much,
        "With strength 0.3 the picture changes as much as with 0.9: hand `strength` on.",
    )
    require(
        little < 0.25,
        f"With strength 0.3 a pixel changes by {little:.2f} on average: too much. Does diffusers "
        "get your image in [0, 1]?",
    )
    require(
        red >= 2,
        f"With strength 0.9 and “red hair”, {red} of 3 have red hair. Did you hand on the prompt, "
        "and guidance_scale=2.0?",
    )
    return f"strength 0.3 changes a pixel by {little:.2f} on average, 0.9 by {much:.2f}"


@checker("5.9")
def inpainting(new_eyes: Callable, pipeline) -> str:
    """`new_eyes(pipeline, image, colour)`: eyes of another colour, and the rest as it was."""
    some = [face for face in _known() if face[1]["eye_color"] in ("brown", "blue")][:3]
    right, asked = 0, ("green", "red", "red")
    for (image, _), colour in zip(some, asked, strict=True):
        answer = _picture(call(new_eyes, pipeline, image, colour), image)
        _only_the_eyes((answer - image).abs().mean(1)[0] > 0.02)
        right += judge.read(answer).names[0]["eye_color"] == colour
    require(
        right >= 2,
        f"{right} of 3 have, by the judge, the eyes that were asked for: green, red and red. Does "
        "the prompt say *eyes*, f'{colour} eyes'? Are both inside the mask? Is guidance_scale 2.0? "
        "strength=1.0 forgets what was there.",
    )
    return f"{right} of 3 have new eyes, and every other pixel is as it was"


def _only_the_eyes(changed: torch.Tensor) -> None:
    """Require that no place (64, 64) far from the eyes has changed."""
    inside = torch.zeros_like(changed)
    inside[22:46, 8:56] = True  # a generous frame around any eyes
    if not (changed & ~inside).any():
        return
    require(
        changed[26:42, 12:52].any(),
        "Everything has changed but the eyes: 1 in the mask is where it may paint.",
    )
    require(
        changed[:, :22].any() or changed[:, 46:].any(),
        "An upright strip has changed. Rows come before columns: `mask[..., 26:42, 12:52]`.",
    )
    require(
        False,
        "Something has changed far from the eyes. Put the old pixels back where the mask is 0: "
        "`torch.where(mask.bool(), painted, image)`.",
    )


def _known() -> list[tuple[torch.Tensor, dict[str, str]]]:
    """Held-out faces (1, 3, 64, 64) with open eyes, upright and without glasses."""
    known = faces.load("held-out")[:200]
    return [
        (known[[i]].tensor(), row)
        for i, row in enumerate(known.attributes)
        if row["glasses"] == "no" and row["eye_color"] != "hidden"
    ]


def _picture(answer, image: torch.Tensor) -> torch.Tensor:
    require(isinstance(answer, torch.Tensor), f"Return a tensor, not {kind(answer)}.")
    require(
        answer.shape == image.shape,
        f"The picture is {tuple(answer.shape)}; it should be {tuple(image.shape)}.",
    )
    require(answer.min() < -0.05, "Nothing is below 0: bring it back to [-1, 1], as the image is.")
    return answer.detach().float().cpu().clamp(-1, 1)
