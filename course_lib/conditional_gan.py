"""Lesson 4: a GAN that paints what a sentence says (article, section 3).

Lesson 2's two networks, each with a second input: the thought vector x of a sentence, from
`course_lib.text`. G(z, x) paints; D(image, x) says whether the image is real *and* fits. In the
order of the lesson: the networks, the pairs that D learns from, the step, a whole training.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import captions, dcgan, faces, judge, pretrained, text, training
from course_lib.errors import CourseError
from course_lib.faces.captioned import fits, in_numbers
from course_lib.pixels import evaluating, to_float
from course_lib.training import Preset

NOISE_SIZE = dcgan.NOISE_SIZE
THOUGHT_SIZE = 128  # numbers of a thought vector


class ConditionalBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose scale and shift are read off a condition, for each picture its own.

    (Dumoulin et al. 2017, arXiv 1610.07629; for GANs Miyato & Koyama 2018, arXiv 1802.05637.)
    Input: maps (B, C, H, W) and a condition (B, N); output (B, C, H, W).
    """

    def __init__(self, maps: int, condition: int):
        super().__init__(maps, affine=False)
        self.turn = nn.Linear(condition, 2 * maps)
        nn.init.normal_(self.turn.weight, 0.0, 0.02)
        nn.init.zeros_(self.turn.bias)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.turn(condition)[:, :, None, None].chunk(2, 1)
        return super().forward(maps) * (1 + scale) + shift


class Generator(nn.Module):
    """The painter: noise and thought in, picture out.

    Input: noise (B, noise_size) and thoughts (B, thought_size). Output: (B, 3, S, S) in [-1, 1].
    The layers are `dcgan.Generator`'s, with noise and thought side by side as their input, and the
    thought again in each `ConditionalBatchNorm`: what is said must reach the last details.
    """

    def __init__(
        self,
        noise_size: int = NOISE_SIZE,
        thought_size: int = THOUGHT_SIZE,
        width: int = 32,
        image_size: int = 64,
    ):
        super().__init__()
        self.noise_size, self.thought_size = noise_size, thought_size
        inputs = noise_size + thought_size
        layers = dcgan.Generator(inputs, width, image_size=image_size).main
        self.main = nn.ModuleList(
            ConditionalBatchNorm(layer.num_features, inputs)
            if isinstance(layer, nn.BatchNorm2d)
            else layer
            for layer in layers
        )

    def forward(self, noise: Tensor, thoughts: Tensor) -> Tensor:
        if noise.shape[1:] != (self.noise_size,) or thoughts.shape[1:] != (self.thought_size,):
            raise CourseError(
                f"noise is (B, {self.noise_size}) and thoughts are (B, {self.thought_size}), not "
                f"{tuple(noise.shape)} and {tuple(thoughts.shape)}"
            )
        condition = torch.cat([noise, even(thoughts)], 1)
        maps = condition[:, :, None, None]
        for layer in self.main:
            conditional = isinstance(layer, ConditionalBatchNorm)
            maps = layer(maps, condition) if conditional else layer(maps)
        return maps


class Discriminator(nn.Module):
    """The appraiser: how real is the image, and how well does it fit the thought?

    `see` makes features of images, once; `judge` scores pairs of features and thoughts: a number
    for the image alone, and an inner product of features and thought (the projection of Miyato &
    Koyama 2018). Scores are logits. With `sees_words=False` only the first.
    """

    def __init__(
        self,
        thought_size: int = THOUGHT_SIZE,
        width: int = 32,
        image_size: int = 64,
        features: int = 256,
        sees_words: bool = True,
    ):
        super().__init__()
        layers = dcgan.Discriminator(width, image_size=image_size, normalization="none").main[:-2]
        maps = layers[-2].out_channels
        self.main = nn.Sequential(
            *layers, nn.Conv2d(maps, features, 4), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.real = nn.Linear(features, 1)
        self.fit = nn.Linear(thought_size, features) if sees_words else None

    def see(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → features (B, F)."""
        return self.main(images)

    def match(self, features: Tensor, thoughts: Tensor) -> Tensor:
        """How well all pairs fit: features (B, F), thoughts (T, N) → (B, T)."""
        if self.fit is None:
            return features.new_zeros(len(features), len(thoughts))
        return features @ self.fit(even(thoughts)).T / features.shape[1] ** 0.5

    def judge(self, features: Tensor, thoughts: Tensor) -> Tensor:
        """Scores of all pairs, (B, T)."""
        return self.real(features) + self.match(features, thoughts)

    def forward(self, images: Tensor, thoughts: Tensor) -> Tensor:
        """Scores (B,) of each image with its own thought."""
        features = self.see(images)
        score = self.real(features)[:, 0]
        if self.fit is None:
            return score
        return score + (features * self.fit(even(thoughts))).sum(1) / features.shape[1] ** 0.5


def even(thoughts: Tensor) -> Tensor:
    """Thoughts (B, N) of one length: what they say is in their direction."""
    return F.normalize(thoughts, dim=1) * thoughts.shape[1] ** 0.5


# The pairs that D learns from


class Told:
    """Faces, and of each a caption that is true and one that is not; a `training.Data`.

    The captions are others in every epoch, in both languages, and follow from the seed, the face
    and the epoch. `apart`: pairs of hair and eye colours that are left out, see `held_apart`.
    """

    def __init__(
        self,
        known: faces.Faces,
        encode: Callable[[list[str]], Tensor],
        seed: int = 0,
        apart: bool = True,
    ):
        if apart:
            faces.Captioned(known, encode)  # refuses faces that nobody has described
            known = known[[i for i, row in enumerate(known.attributes) if not held_apart(row)]]
        self.captioned = faces.Captioned(known, encode)
        self.known, self.encode, self.seed, self.epoch = known, encode, seed, 0

    def __len__(self) -> int:
        return len(self.known)

    def fingerprint(self) -> str:
        return self.captioned.fingerprint()

    def in_epoch(self, epoch: int) -> Told:
        other = copy(self)
        other.epoch = epoch
        return other

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of B faces: images (B, 3, S, S); tokens (2B, T) of the true captions and then of the
        others; what these say (2B, A); what is drawn (B, A): see `faces.Captioned`.
        """
        rows = np.asarray(indices)
        told = [self.tell(int(i)) for i in rows]
        both = [one[kind] for kind in range(2) for one in told]
        said = torch.tensor([in_numbers(facts) for _, facts in both])
        drawn = torch.from_numpy(self.captioned.drawn[rows].astype(np.int64))
        tokens = self.encode([sentence for sentence, _ in both])
        return to_float(self.known.images[rows]), tokens, said, drawn

    def tell(self, i: int) -> list[tuple[str, dict[str, str]]]:
        """A true caption of face i and its facts, and one in which a fact is another."""
        rng = random.Random(f"{self.seed} {i} {self.epoch} told")
        language = rng.choice(captions.LANGUAGES)
        interest = rng.choice((captions.INTEREST, text.EVENLY))
        facts, figure = captions.choose(self.known.attributes[i], rng, interest)
        figure = figure[captions.LANGUAGES.index(language)]
        return [
            (text.SAY[language](what, figure, rng), what)
            for what in (facts, text.mistaken(facts, rng))
        ]


def held_apart(attributes: Mapping[str, str]) -> bool:
    """Whether this pair of hair and eye colour is one that no painter here ever sees in training.

    A tenth or so of the pairs; each colour is seen in many others.
    """
    values = faces.attribute_values()
    if attributes["eye_color"] not in values["eye_color"]:
        return False  # closed eyes
    hair = values["hair_color"].index(attributes["hair_color"])
    eyes = values["eye_color"].index(attributes["eye_color"])
    return (hair + 2 * eyes) % 10 == 3


# The step

MISMATCHED = ("all", "batch", "none")


def conditional_step(
    generator: Generator,
    discriminator: Discriminator,
    generator_optimiser: torch.optim.Optimizer,
    discriminator_optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    *,
    encode: Callable[[Tensor], Tensor],
    mismatched: str = "all",
    contrast: float = 0.0,
    variety: float = 0.0,
    penalty: float = 0.0,
    penalty_share: float = 1 / 16,
    backward: Callable[[Tensor], None] = Tensor.backward,
    lottery: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """One step of each network on the article's three kinds of pair.

    batch: of `Told`. encode: tokens → thoughts. mismatched: which real pictures D sees with words
    that do not fit: "all" that are in the batch and the captions with a mistake, "batch" without
    those, or "none". The score of a pair with other words costs D an inner product, since the
    picture's features are known already (as in DF-GAN, Tao et al. 2022, arXiv 2008.05865).
    Class 0 counts as much as class 1: fakes and misfits half each, as in Reed et al. 2016.
    contrast: weight of `nearest_words`, for both networks. variety: weight of `sameness`, for G.
    """
    if mismatched not in MISMATCHED:
        raise CourseError(f"mismatched is one of {', '.join(MISMATCHED)}, not {mismatched!r}")
    real, tokens, said, drawn = batch
    thoughts = encode(tokens)
    own = thoughts[: len(real)]
    noise = torch.randn(len(real), generator.noise_size, device=real.device)
    fakes = generator(noise, own)

    discriminator_optimiser.zero_grad()
    seen, seen_fakes = discriminator.see(torch.cat([real, fakes.detach()])).chunk(2)
    fit = discriminator.match(seen, thoughts)  # (B, 2B): each real picture with all words
    scores = discriminator.real(seen) + fit
    on_real = scores.diagonal()
    on_fakes = discriminator.judge(seen_fakes, own).diagonal()
    loss_fake = F.softplus(on_fakes).mean()
    misfit = ~fits(said[None], drawn[:, None])
    own_mistake = torch.eye(len(real), dtype=torch.bool, device=real.device)
    hard = misfit & torch.cat([torch.zeros_like(own_mistake), own_mistake], 1)
    groups = {"none": [], "batch": [misfit & ~hard], "all": [misfit & ~hard, hard]}
    losses = [_mean(F.softplus(scores), group) for group in groups[mismatched]]
    loss_D = F.softplus(-on_real).mean()
    loss_D = loss_D + ((loss_fake + sum(losses) / len(losses)) / 2 if losses else loss_fake)
    total = loss_D + contrast * nearest_words(fit, misfit) if contrast else loss_D
    if penalty and torch.rand((), generator=lottery) < penalty_share:
        slope = dcgan.gradient_penalty(partial(_with, discriminator, own), real)
        total = total + penalty / penalty_share * slope
    backward(total)
    discriminator_optimiser.step()

    generator_optimiser.zero_grad()
    discriminator.requires_grad_(False)
    seen_fakes = discriminator.see(fakes)
    fit = discriminator.match(seen_fakes, thoughts)
    loss_G = F.softplus(-(discriminator.real(seen_fakes) + fit).diagonal()).mean()
    total = loss_G + contrast * nearest_words(fit, misfit) if contrast else loss_G
    if variety:
        some = len(real) // 4  # enough, and cheap
        others = generator(torch.randn_like(noise[:some]), own[:some])
        total = total + variety * sameness(fakes[:some], others, real)
    backward(total)
    discriminator.requires_grad_(True)
    generator_optimiser.step()
    return {
        "loss_D": loss_D,
        "loss_G": loss_G,
        "D(x) fits": on_real.mean(),
        "D(x) misfits": _mean(scores, misfit),
        "D(x) one fact wrong": _mean(scores, hard),
        "D(G(z))": on_fakes.mean(),
    }


def nearest_words(fit: Tensor, misfit: Tensor) -> Tensor:
    """InfoNCE of pictures and words (as in XMC-GAN, Zhang et al. 2021, arXiv 2101.04702).

    fit: (B, T), how well picture i fits words j; its own are words i. misfit: bool (B, T). A
    picture's own words must win against those that do not fit it; others are no rivals.
    """
    own = fit.diagonal()
    rivals = fit.masked_fill(~misfit, -torch.inf).logsumexp(1)
    return (torch.logaddexp(own, rivals) - own).mean()


def sameness(one: Tensor, other: Tensor, real: Tensor, enough: float = 0.7) -> Tensor:
    """How much less two pictures of the same words differ than real faces do.

    After the mode-seeking loss of Mao et al. 2019 (arXiv 1903.05628), but nothing is gained by
    more than `enough` of the real ones' distance, and it is taken at a quarter of the size, where
    no noise counts. one, other: (N, 3, S, S), of other noise. real: (B, 3, S, S).
    """
    one, other, real = (F.avg_pool2d(images, 4) for images in (one, other, real))
    wanted = enough * (real - real.roll(1, 0)).abs().mean()
    return F.relu(wanted - (one - other).abs().mean((1, 2, 3))).mean()


def _with(discriminator: Discriminator, thoughts: Tensor, images: Tensor) -> Tensor:
    return discriminator(images, thoughts)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values; 0 of none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


# Recipes, and a whole training


@dataclass(frozen=True)
class Recipe:
    """What a training is made of, apart from the data and the size of the networks."""

    mismatched: str = "all"  # of `conditional_step`
    sees_words: bool = True  # or D looks at the image alone
    contrast: float = 1.0
    variety: float = 4.0
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-4
    betas: tuple[float, float] = (0.0, 0.99)
    batch_size: int = 32
    average: float = 0.999
    penalty: float = 1.0
    penalty_share: float = 1 / 16
    flip: bool = True
    decay_from: float = 0.6


PRESETS = {
    "words": Preset(
        "the course's painter of words, hours on a CPU", Recipe(), 600_000,
        data="drawn:20000", fit={"pictures_every": 500, "save_every": 250},
        weights="faces-words",
    ),
    "quick": Preset("seconds: it has only begun", Recipe(average=0.98), 4_000, sizes={"width": 16}),
    "full": Preset("minutes on a GPU", Recipe(), 1_000_000, sizes={"width": 64}),
}  # fmt: skip

# What is painted during a training, eight faces each.
WATCHED = (
    "red eyes", "蓝色长发", "blonde twintails, blue eyes", "a smiling girl with red hair",
    "戴眼镜，黑发", "pink bob, green eyes, cat ears", "一个微笑的女孩，紫色双马尾", "",
)  # fmt: skip


class Trained(NamedTuple):
    generator: Generator  # the average; ready to paint
    history: training.History


def build(
    data: faces.Faces,
    recipe: Recipe = PRESETS["words"].recipe,
    *,
    width: int = 32,
    image_size: int = 64,
    seed: int = 0,
    precision: str | None = None,
    encoder: text.TextEncoder | None = None,
) -> training.Training:
    """A conditional GAN on `data`, faces with attributes: `build(…).fit(images=600_000)`.

    width: of both networks. encoder: of sentences; the course's own by default. It does not change.
    The same seed gives the same first weights, noise, captions and order to every recipe.
    FacesError when what is drawn in the faces is not known; CourseError for several processes.
    """
    accelerator = training.make_accelerator(precision)
    if accelerator.num_processes > 1:  # D is asked in parts, of which gradients are not averaged
        raise CourseError("the conditional GAN trains in one process: start it without torchrun")
    device = accelerator.device
    encoder = encoder or text.load()
    told = Told(data, encoder.tokens, seed=seed)
    G, D = (
        net.to(device, memory_format=torch.channels_last)
        for net in networks(recipe, encoder, width, image_size, seed)
    )
    average = training.EMA(G, recipe.average)
    adam = partial(torch.optim.Adam, betas=recipe.betas, fused=device.type in ("cpu", "cuda"))
    G_optimiser = adam(G.parameters(), recipe.generator_rate)
    D_optimiser = adam(D.parameters(), recipe.discriminator_rate)
    parts = accelerator.prepare(G, D, G_optimiser, D_optimiser)
    lottery = torch.Generator().manual_seed(training.derive(seed, "penalty"))
    film = torch.Generator().manual_seed(training.derive(seed, "film"))
    noise = torch.randn(64, NOISE_SIZE, generator=film).to(device)
    thoughts = encoder.think(WATCHED).vector.repeat_interleave(8, 0)

    encode = partial(_vectors, encoder)
    options = ("mismatched", "contrast", "variety", "penalty", "penalty_share")
    step = partial(
        conditional_step, *parts, encode=encode, backward=accelerator.backward, lottery=lottery,
        **{name: getattr(recipe, name) for name in options},
    )  # fmt: skip

    def result() -> Generator:
        return _finished(average.network, encode, told, seed)

    return training.Training(
        step=step,
        data=told,
        recipe=recipe,
        keep={
            "generator": G,
            "discriminator": D,
            "average": average,
            "generator_optimiser": parts[2],
            "discriminator_optimiser": parts[3],
            "lottery": lottery,
        },
        result=result,
        config={"thought_size": G.thought_size, "width": width, "image_size": image_size},
        accelerator=accelerator,
        seed=seed,
        flip=recipe.flip,
        schedule=training.linear_decay(recipe.decay_from) if recipe.decay_from < 1 else None,
        pictures=lambda: paint(result(), noise, thoughts),
        watch=lambda: _seen(follow(result(), encoder, 300)),
        figures=lambda generator: {"obedience": _seen(follow(generator, encoder))},
    )


@torch.no_grad()
def _vectors(encoder: text.TextEncoder, tokens: Tensor) -> Tensor:
    return encoder(tokens).vector


def networks(
    recipe: Recipe, encoder: text.TextEncoder, width: int, image_size: int, seed: int
) -> tuple[Generator, Discriminator]:
    """G and D as a training with that seed begins."""
    torch.manual_seed(training.derive(seed, "weights"))
    size = encoder.projection.out_features
    G = Generator(NOISE_SIZE, size, width, image_size).apply(initialise_weights)
    D = Discriminator(size, width, image_size, sees_words=recipe.sees_words)
    return G, D.apply(initialise_weights)


def initialise_weights(module: nn.Module) -> None:
    """As lesson 2's; a `ConditionalBatchNorm` has its own first weights."""
    if not isinstance(module, ConditionalBatchNorm):
        dcgan.initialise_weights(module)


def _finished(
    painter: Generator, encode: Callable[[Tensor], Tensor], told: Told, seed: int
) -> Generator:
    """A copy to paint with, its BatchNorm statistics measured anew for these very weights."""
    result = deepcopy(painter).requires_grad_(True)
    device = next(result.parameters()).device
    chance = torch.Generator().manual_seed(training.derive(seed, "statistics"))
    noises = torch.randn(8, 64, painter.noise_size, generator=chance).to(device)
    rows = torch.randint(len(told), (8, 64), generator=chance).tolist()

    def inputs() -> Iterator[tuple[Tensor, Tensor]]:
        for noise, some in zip(noises, rows, strict=True):
            captions_ = [told.tell(i)[0][0] for i in some]
            yield noise, encode(told.encode(captions_).to(device))

    training.refresh_batchnorm(result, inputs())
    return result.eval()


def train(
    data: faces.Faces,
    recipe: Recipe = PRESETS["words"].recipe,
    *,
    images: int,
    width: int = 32,
    seed: int = 0,
    precision: str | None = None,
    **options: Any,
) -> Trained:
    """`build`, then train until the networks have seen `images` pictures; options: `fit`'s."""
    plan = build(data, recipe, width=width, seed=seed, precision=precision)
    history = plan.fit(images, **options)
    return Trained(plan.result(), history)


def load_or_train(budget: str, data: faces.Faces | None = None, **options: Any) -> Trained:
    """One call for all, as `dcgan.load_or_train`: "pretrained", "quick" or "full"."""
    if budget == "pretrained":
        name = PRESETS["words"].weights
        batch_size = pretrained.describe(name)["training"]["recipe"]["batch_size"]
        history = training.History(batch_size, snapshots=pretrained.film(name))
        return Trained(pretrained.load(name, Generator), history)
    if budget not in ("quick", "full"):
        raise CourseError(f"budget {budget!r} is unknown; choose one of pretrained, quick, full")
    if data is None:
        raise CourseError(f'a {budget} training needs data, such as faces.load("train")')
    preset = PRESETS[budget]
    chosen = {"recipe": preset.recipe, "images": preset.images, **preset.sizes}
    return train(data, **chosen | options)


# What it paints, and whether it obeys


@torch.no_grad()
def paint(generator: Generator, noise: Tensor, thoughts: Tensor, batch_size: int = 128) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] of noise (B, Z) and thoughts (B, N), each by itself."""
    with evaluating(generator):
        pairs = zip(noise.split(batch_size), thoughts.split(batch_size), strict=True)
        return torch.cat([generator(z, x) for z, x in pairs])


class Painter:
    """The committed painter, ready for prompts: `Painter()(["red eyes", "蓝眼睛"], seed=0)`."""

    def __init__(self, generator: Generator | None = None, encoder: text.TextEncoder | None = None):
        self.generator = generator or load_or_train("pretrained").generator
        self.encoder = encoder or text.load()

    def __call__(self, prompts: Sequence[str], seed: int = 0) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of B prompts, each with noise of its own, on the CPU."""
        chance = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(prompts), self.generator.noise_size, generator=chance)
        parts = [self.encoder.think(prompts[i : i + 256]) for i in range(0, len(prompts), 256)]
        thoughts = torch.cat([part.vector for part in parts])
        return paint(self.generator, noise.to(thoughts.device), thoughts).cpu()


def follow(
    generator: Generator,
    encoder: text.TextEncoder,
    number: int = 2000,
    *,
    seed: int = 0,
    languages: Sequence[str] = captions.LANGUAGES,
    wanted: Callable[[Mapping[str, str]], bool] | None = None,
) -> dict[str, judge.Score]:
    """How often it paints what fresh captions of held-out faces say; see `judge.obedience`.

    number: of captions and pictures. seed: of both. wanted: of which faces, such as `held_apart`;
    then each caption names both colours and nothing else.
    """
    rng = random.Random(f"{seed} follow")
    known = [a for a in faces.load("held-out").attributes if wanted is None or wanted(a)]
    sentences, asked = [], []
    for _ in range(number):
        attributes, language = rng.choice(known), rng.choice(languages)
        if wanted:
            attributes = {name: attributes[name] for name in ("hair_color", "eye_color")}
        facts, figure = captions.choose(attributes, rng)
        facts = attributes if wanted else facts
        figure = figure[captions.LANGUAGES.index(language)]
        sentences.append(text.SAY[language](facts, figure, rng))
        asked.append(facts)
    return judge.obedience(Painter(generator, encoder)(sentences, seed), asked)


def held_out_captions(seed: int = 0) -> list[str]:
    """A caption of each held-out face, in either language: to paint as varied faces as those."""
    rng = random.Random(f"{seed} held out")
    known = faces.load("held-out").attributes
    return [captions.describe_in(rng.choice(captions.LANGUAGES), a, rng)[0] for a in known]


def _seen(scores: Mapping[str, judge.Score]) -> dict[str, float]:
    """The three numbers that matter most, for the manifest and the history."""
    return {
        "hair": round(scores["hair_color"].accuracy, 4),
        "eyes": round(scores["eye_color"].accuracy, 4),
        "mean": round(judge.mean_accuracy(scores), 4),
        "everything": round(scores["everything"].accuracy, 4),
    }
