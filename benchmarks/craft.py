"""What lesson 6 claims of the craft, counted by the judge on the course's own painter. Four tables.

    python benchmarks/craft.py inpainting     # new eyes in held-out faces
    python benchmarks/craft.py samplers       # the same networks, walked in other ways
    python benchmarks/craft.py negative       # "no glasses", and what helps
    python benchmarks/craft.py anagrams       # faces that are another face upside down

`--number` is of faces, captions or pictures in each row.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Callable

import diffusers
import numpy as np
import torch
from torch import Tensor

from course_lib import captions, faces, judge, text
from course_lib import latent_diffusion as ld
from course_lib import stable_diffusion as sd
from course_lib.pixels import to_float

TRIED = (  # prompt, steps, guidance
    ("short", 8, 2.0),
    ("short", 20, 2.0),
    ("short", 20, 3.0),
    ("short", 20, 5.0),
    ("long", 20, 2.0),
    ("long", 20, 3.0),
)
SAMPLERS = {
    "Euler (DPM-Solver++ of order 1)": ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    "DPM-Solver++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM-Solver++ 2S": ("DPMSolverSinglestepScheduler", {"solver_order": 2}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "DEIS": ("DEISMultistepScheduler", {}),
}
FEW = (3, 5)  # steps
THINGS = {
    "glasses": ("glasses", ("round", "square")),
    "a ribbon": ("ribbon", ("yes",)),
    "cat ears": ("cat_ears", ("yes",)),
    "a smile": ("mouth", ("smile",)),
    "long hair": ("back_hair", ("long", "wavy", "twintails", "ponytail", "braids")),
}
SIDES = ("red", "blue", "green", "pink", "black", "blonde", "purple", "orange")


def told(score: judge.Score) -> str:
    """Such as "96.0 % (90.2–98.4)", with the 95 % interval by Wilson."""
    low, high = score.interval
    return f"{100 * score.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def counted(values: list[bool]) -> judge.Score:
    return judge.Score(sum(values), len(values))


def inpainting(number: int) -> None:
    """Held-out faces whose open eyes the judge reads right, and a colour that is not theirs."""
    pipeline = sd.load("course")
    known = with_open_eyes(number)
    rng, colours = random.Random(0), faces.attribute_values()["eye_color"]
    asked = [rng.choice([c for c in colours if c != a["eye_color"]]) for a in known.attributes]
    images, mask = known.tensor(), sd.box(sd.EYES)
    outside = ~mask.bool().expand_as(images)
    short = [f"{colour} eyes" for colour in asked]
    long = [
        whole(face | {"eye_color": colour})
        for face, colour in zip(known.attributes, asked, strict=True)
    ]
    print(f"{len(known)} faces, eyes open and read right before")
    print("| prompt | steps | guidance | asked colour is read | in both eyes | outside as before |")
    print("|---" * 6 + "|")
    for name, steps, guidance in TRIED:
        prompts = {"short": short, "long": long}[name]
        painted = sd.retouch(pipeline, images, prompts, mask, steps=steps, guidance=guidance)
        seen = judge.read(painted.clamp(-1, 1)).names
        read = [one["eye_color"] == colour for one, colour in zip(seen, asked, strict=True)]
        eyes = judge.eye_colours(painted)
        both = [one == {colour} for one, colour in zip(eyes, asked, strict=True)]
        same = torch.equal(painted[outside], images[outside])
        cells = (name, steps, guidance, told(counted(read)), told(counted(both)), same)
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def with_open_eyes(number: int) -> faces.Faces:
    """The first held-out faces with two open eyes, whose colour the judge reads as it is."""
    known = faces.load("held-out").filter(eye_shape=["round", "sharp", "droopy", "sleepy"])
    seen = judge.read(known).names
    rows = [i for i, one in enumerate(seen) if one["eye_color"] == known.attributes[i]["eye_color"]]
    return known[rows[:number]]


def whole(face: dict[str, str]) -> str:
    """All that can be said of a face's eyes and what lies around them."""
    names = ("eye_color", "eye_shape", "hair_color", "fringe", "glasses", "skin")
    part, rng = {name: face[name] for name in names}, random.Random(0)
    facts = captions.choose_facts(part, rng, numbers={len(names): 1})
    return captions.in_english(facts, None, rng)


def samplers(number: int) -> None:
    """The same captions and noises, few steps."""
    painter, pipeline = ld.Painter(), sd.load("course")
    print("| sampler | steps | hair | eyes | mean of all named | everything |")
    print("|---" * 6 + "|")
    for steps, (name, (kind, options)) in itertools.product(FEW, SAMPLERS.items()):
        scheduler = getattr(diffusers, kind).from_config(pipeline.scheduler.config, **options)
        other = diffusers.StableDiffusionPipeline.from_pipe(pipeline, scheduler=scheduler)
        other.set_progress_bar_config(disable=True)
        scores = text.follow(painting(other, painter, steps), number, seed=1)
        mean = judge.mean_accuracy(scores)
        cells = [told(scores[one]) for one in ("hair_color", "eye_color")]
        cells += [f"{100 * mean:.1f} %", told(scores["everything"])]
        print(f"| {name} | {steps} | " + " | ".join(cells) + " |", flush=True)


def painting(pipeline, painter: ld.Painter, steps: int) -> Callable[[list[str], int], Tensor]:
    def paint(prompts: list[str], seed: int) -> Tensor:
        noise, painted = painter.noise(len(prompts), seed), []
        for start in range(0, len(prompts), 50):
            part = slice(start, start + 50)
            painted += pipeline(
                prompts[part], num_inference_steps=steps, guidance_scale=2.0, latents=noise[part],
                output_type="pt",
            ).images.cpu()  # fmt: skip
        return 2 * torch.stack(painted) - 1

    return paint


def negative(number: int) -> None:
    """How often a thing is there: not mentioned, denied in the prompt, in the negative prompt."""
    pipeline = sd.load("course")
    print("| thing | not mentioned | “no …” in the prompt | as negative prompt | hair still blue |")
    print("|---" * 5 + "|")
    for thing, (attribute, values) in THINGS.items():
        cells = []
        for prompt, unwanted in (
            ("blue hair", ""),
            (f"blue hair, no {thing.removeprefix('a ')}", ""),
            ("blue hair", thing),
        ):
            pictures = sd.paint(pipeline, [prompt] * number, range(number), negative=unwanted)
            seen = judge.read(to_float(np.stack(pictures))).names
            cells.append(told(counted([one[attribute] in values for one in seen])))
        cells.append(told(counted([one["hair_color"] == "blue" for one in seen])))
        print(f"| {thing} | " + " | ".join(cells) + " |", flush=True)


def anagrams(number: int) -> None:
    """How often each side has the hair that was asked for."""
    painter, rng = ld.Painter(), random.Random(0)
    pairs = [rng.sample(SIDES, 2) for _ in range(number)]
    sides = [[f"{pair[k]} hair" for pair in pairs] for k in (0, 1)]
    images = sd.anagram(painter, *sides)
    for k, (name, seen) in enumerate({"upright": images, "turned": sd.half_turn(images)}.items()):
        found = judge.read(seen.clamp(-1, 1)).names
        right = [one["hair_color"] == pair[k] for one, pair in zip(found, pairs, strict=True)]
        print(f"{name}: {told(counted(right))}")


TABLES = {
    "inpainting": (inpainting, 100),
    "samplers": (samplers, 200),
    "negative": (negative, 100),
    "anagrams": (anagrams, 48),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("--number", type=int)
    options = parser.parse_args()
    table, usual = TABLES[options.what]
    diffusers.utils.logging.set_verbosity_error()
    table(options.number or usual)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
