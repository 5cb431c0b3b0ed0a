"""Lessons 2 and 3: the DCGAN of Radford et al. 2015 (arXiv 1511.06434).

In the order in which the lessons explain it: the generator, its mirror image the discriminator, the
first weights; the step, its losses, recipes, and a whole training. At 64 px and the default widths
both networks are those of the official PyTorch tutorial, weight by weight: the names in their state
dict (`main.0.weight`, `main.1.weight`, …) are the same.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from course_lib import faces, pretrained, training
from course_lib.errors import CourseError
from course_lib.pixels import evaluating
from course_lib.tracing import (  # noqa: F401 - lesson 2's tools to look inside
    Layer,
    Trace,
    count_flops,
    count_parameters,
    trace_shapes,
)
from course_lib.training import Preset

# image size → how many doublings lie between the first layer (1×1 → 4×4) and the last (→ image)
MIDDLE_LAYERS = {32: 2, 64: 3, 128: 4}
NOISE_SIZE = 100  # the article's nz
NORMALIZATIONS = ("batch", "spectral", "none")


class Generator(nn.Module):
    """The forger: noise in, picture out.

    Input: noise (B, noise_size) or (B, noise_size, 1, 1).
    Output: images (B, channels, S, S) in [-1, 1].
    `width` is the number of maps before the last layer (the article's ngf); `image_size` S is
    32, 64 or 128.
    """

    def __init__(
        self, noise_size: int = 100, width: int = 64, channels: int = 3, image_size: int = 64
    ):
        super().__init__()
        middle = _middle_layers(image_size, width)
        self.noise_size = noise_size
        maps = width * 2**middle  # 512 at 64 px

        layers = [  # 1×1 → 4×4
            nn.ConvTranspose2d(noise_size, maps, kernel_size=4, stride=1, padding=0, bias=False),
            nn.BatchNorm2d(maps),
            nn.ReLU(),
        ]
        for _ in range(middle):  # 4×4 → 8×8 → 16×16 → 32×32: twice the side, half the maps
            layers += [
                nn.ConvTranspose2d(maps, maps // 2, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(maps // 2),
                nn.ReLU(),
            ]
            maps //= 2
        layers += [  # 32×32 → 64×64, in colour
            nn.ConvTranspose2d(maps, channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        ]
        self.main = nn.Sequential(*layers)

    def forward(self, noise: Tensor) -> Tensor:
        size = self.noise_size
        if noise.shape[1:] not in [(size,), (size, 1, 1)]:
            raise CourseError(
                f"noise is (B, {size}) or (B, {size}, 1, 1), not {tuple(noise.shape)}"
            )
        return self.main(noise.reshape(-1, size, 1, 1))


class Discriminator(nn.Module):
    """The appraiser: picture in, one number out. The generator's mirror image.

    Input: images (B, channels, S, S) in [-1, 1].
    Output: (B,), the belief D(x), from 0, "fake", to 1, "real"; with `sigmoid=False` the score,
    whose sigmoid is the belief.
    `width` is the number of maps after the first layer (the article's ndf).

    normalization: "batch" as in the article; "spectral" divides each layer by its largest singular
        value (Miyato et al. 2018, arXiv 1802.05957); "none". Without BatchNorm the convolutions
        have a bias.
    leak: slope of LeakyReLU for negative inputs; 0 is plain ReLU.
    """

    def __init__(
        self,
        width: int = 64,
        channels: int = 3,
        image_size: int = 64,
        *,
        normalization: str = "batch",
        sigmoid: bool = True,
        leak: float = 0.2,
    ):
        super().__init__()
        middle = _middle_layers(image_size, width)
        if normalization not in NORMALIZATIONS:
            raise CourseError(f"normalization is one of {NORMALIZATIONS}, not {normalization!r}")
        self.image_shape = (channels, image_size, image_size)
        batch = normalization == "batch"

        def convolution(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, 4, stride, padding, bias=not batch)
            return spectral_norm(layer) if normalization == "spectral" else layer

        maps = width
        layers = [convolution(channels, maps), nn.LeakyReLU(leak)]  # 64×64 → 32×32
        for _ in range(middle):  # 32×32 → 16×16 → 8×8 → 4×4: half the side, twice the maps
            layers += [convolution(maps, 2 * maps)]
            layers += [nn.BatchNorm2d(2 * maps)] if batch else []
            layers += [nn.LeakyReLU(leak)]
            maps *= 2
        layers += [convolution(maps, 1, stride=1, padding=0)]  # 4×4 → one number
        layers += [nn.Sigmoid()] if sigmoid else []
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.image_shape:
            raise CourseError(f"an image is {self.image_shape} here, not {tuple(images.shape[1:])}")
        return self.main(images).flatten()


def _middle_layers(image_size: int, width: int) -> int:
    if width < 1:
        raise CourseError(f"width is {width}; choose 1 or more feature maps, such as 32")
    if image_size not in MIDDLE_LAYERS:
        possible = ", ".join(map(str, MIDDLE_LAYERS))
        raise CourseError(f"image_size {image_size!r} is not possible; choose one of {possible}")
    return MIDDLE_LAYERS[image_size]


def initialise_weights(module: nn.Module) -> None:
    """The article's `weights_init`; use as `network.apply(initialise_weights)`.

    Convolutions N(0, 0.02), BatchNorm scale N(1, 0.02) and shift 0, as Radford et al. 2015 did.
    A spectrally normalised layer keeps PyTorch's own first weights: it divides their scale away.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not is_parametrized(module):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


# The adversarial step (lesson 3)


def tutorial_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimiser: torch.optim.Optimizer,
    discriminator_optimiser: torch.optim.Optimizer,
    real: Tensor,
) -> dict[str, Tensor]:
    """One step of the article's loop, which is the official PyTorch DCGAN tutorial's.

    real: (B, 3, S, S) in [-1, 1]. The discriminator ends in a sigmoid. Returns what the article
    prints: both losses, and D's mean verdict on the real ones and on the fakes, before and after
    D's own step.
    """
    entropy = nn.functional.binary_cross_entropy
    discriminator_optimiser.zero_grad()
    on_real = discriminator(real)
    loss_real = entropy(on_real, torch.ones_like(on_real))
    loss_real.backward()

    fakes = generator(torch.randn(len(real), NOISE_SIZE, 1, 1, device=real.device))
    on_fakes = discriminator(fakes.detach())  # detach: the gradient stops here, G's turn comes
    loss_fake = entropy(on_fakes, torch.zeros_like(on_fakes))
    loss_fake.backward()  # gradients add up
    discriminator_optimiser.step()

    generator_optimiser.zero_grad()
    judged = discriminator(fakes)  # the same fakes, before a D that has just learnt
    loss_G = entropy(judged, torch.ones_like(judged))  # the label says "real"
    loss_G.backward()
    generator_optimiser.step()

    return {
        "loss_D": loss_real + loss_fake,
        "loss_G": loss_G,
        "D(x)": on_real.mean(),
        "D(G(z)) before": on_fakes.mean(),
        "D(G(z)) after": judged.mean(),
    }


def adversarial_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimiser: torch.optim.Optimizer,
    discriminator_optimiser: torch.optim.Optimizer,
    real: Tensor,
    *,
    loss: str = "bce",
    penalty: float = 0.0,
    penalty_share: float = 1 / 16,
    augment: Callable[[Tensor], Tensor] | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    lottery: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The same idea with a choice of loss, for a discriminator that returns scores (no sigmoid).

    D sees real ones and fakes as one batch (so it should not have BatchNorm, which would mix
    them), and is frozen while G learns, which spares the work of gradients that nobody uses.
    loss: "bce" or "hinge". penalty: weight of `gradient_penalty`, which is taken in one step of 16
    (`penalty_share`), by chance, and then counts sixteenfold: that is as good, and cheap (Karras et
    al. 2020, arXiv 1912.04958). augment: changes images before D sees them, real ones and fakes
    alike; see `augment`. backward: how gradients are computed, `Accelerator.backward` for fp16.
    lottery: the random numbers that choose the steps with a penalty; many processes share one, so
    that they are slow in the same steps and do not wait for each other in all the rest.
    """
    if loss not in LOSSES:
        raise CourseError(f"loss {loss!r} is unknown; choose one of {', '.join(LOSSES)}")
    loss_of_discriminator, loss_of_generator = LOSSES[loss]
    augment = augment or (lambda images: images)
    fakes = generator(torch.randn(len(real), NOISE_SIZE, 1, 1, device=real.device))

    discriminator_optimiser.zero_grad()
    scores = discriminator(augment(torch.cat([real, fakes.detach()])))
    on_real, on_fakes = scores.chunk(2)
    loss_D = loss_of_discriminator(on_real, on_fakes)
    if penalty and torch.rand((), generator=lottery) < penalty_share:
        slope = gradient_penalty(discriminator, augment(real))
        backward(loss_D + penalty / penalty_share * slope)
    else:
        backward(loss_D)
    discriminator_optimiser.step()

    generator_optimiser.zero_grad()
    discriminator.requires_grad_(False)
    judged = discriminator(augment(fakes))
    loss_G = loss_of_generator(judged)
    backward(loss_G)
    discriminator.requires_grad_(True)
    generator_optimiser.step()

    return {
        "loss_D": loss_D,
        "loss_G": loss_G,
        "D(x)": on_real.mean(),
        "D(G(z)) before": on_fakes.mean(),
        "D(G(z)) after": judged.mean(),
    }


def hinge_discriminator_loss(on_real: Tensor, on_fakes: Tensor) -> Tensor:
    """Wants scores above 1 for real ones, below −1 for fakes, and no more than that.

    Lim & Ye 2017 (arXiv 1705.02894), Miyato et al. 2018. D stops pushing a picture it is sure of.
    """
    return torch.relu(1 - on_real).mean() + torch.relu(1 + on_fakes).mean()


def hinge_generator_loss(judged: Tensor) -> Tensor:
    """Wants the score of its fakes as high as it can be."""
    return -judged.mean()


def bce_discriminator_loss(on_real: Tensor, on_fakes: Tensor) -> Tensor:
    """The article's loss, of scores: log(1 + e^−score) of real ones, log(1 + e^score) of fakes."""
    return nn.functional.softplus(-on_real).mean() + nn.functional.softplus(on_fakes).mean()


def bce_generator_loss(judged: Tensor) -> Tensor:
    """The article's loss with labels turned round, for scores."""
    return nn.functional.softplus(-judged).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """R1: how steep D is at real pictures, ½ · mean of ‖∂ score / ∂ picture‖².

    Mescheder et al. 2018 (arXiv 1801.04406). A D that is steep around the real ones sends G to and
    fro without end; one that is flat there lets G settle.
    """
    real = real.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


LOSSES = {
    "hinge": (hinge_discriminator_loss, hinge_generator_loss),
    "bce": (bce_discriminator_loss, bce_generator_loss),
}


def augment(images: Tensor, shift: float = 0.125, cutout: float = 0.0) -> Tensor:
    """Move each image a little, and black out a square: DiffAugment, Zhao et al. 2020.

    (arXiv 2006.10738.) Applied to all that D sees, it stops D from learning a small data set by
    heart; it is differentiable, so that G still learns through it.
    images: (B, C, S, S). shift: up to so large a part of S, up, down, left, right, filled with 0.
    cutout: side of the square as a part of S; 0 for none.
    """
    number, _, size, _ = images.shape
    at = torch.arange(size, device=images.device)
    if shift:
        reach = round(shift * size)
        down, right = torch.randint(-reach, reach + 1, (2, number, 1), device=images.device)
        rows, columns = at + down, at + right  # (B, S): where each new pixel comes from
        inside = _within(rows, 0, size)[:, :, None] & _within(columns, 0, size)[:, None, :]
        which = torch.arange(number, device=images.device)[:, None, None]
        rows, columns = rows.clamp(0, size - 1), columns.clamp(0, size - 1)
        moved = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
        images = moved.permute(0, 3, 1, 2) * inside[:, None]
    if cutout:
        side = round(cutout * size)
        top, left = torch.randint(
            -side // 2, size - side // 2, (2, number, 1), device=images.device
        )
        hidden = _within(at, top, top + side)[:, :, None] & _within(at, left, left + side)[:, None]
        images = images * ~hidden[:, None]
    return images


def _within(values: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
    return (values >= low) & (values < high)


# Recipes, and a whole training


@dataclass(frozen=True)
class Recipe:
    """What a training is made of, apart from the data and the size of the networks."""

    loss: str  # "tutorial": the article's step; else a loss of `adversarial_step`
    normalization: str  # of D
    generator_rate: float  # Adam's learning rates
    discriminator_rate: float
    betas: tuple[float, float]  # Adam's averages of the gradient and of its square
    batch_size: int
    average: float = 0.0  # decay of G's EMA; 0: paint with the last weights
    penalty: float = 0.0
    penalty_share: float = 1 / 16  # of the steps
    flip: bool = False
    shift: float = 0.0  # of `augment`
    cutout: float = 0.0
    leak: float = 0.2  # of D's LeakyReLU
    decay_from: float = 1.0  # from this part of the training on, the rates fall to 0


TUTORIAL = Recipe("tutorial", "batch", 2e-4, 2e-4, (0.5, 0.999), batch_size=128)
HINGE = Recipe("hinge", "spectral", 2e-4, 4e-4, (0.0, 0.999), 64, average=0.998, flip=True)
R1 = Recipe("bce", "none", 5e-4, 5e-4, (0.0, 0.99), 32, average=0.998, penalty=10.0, flip=True)


CALM = replace(R1, average=0.999, decay_from=0.6)  # a long, calm end

# The first moments are closer together: there is more to see.
FILM = {0, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 900}

PRESETS = {
    "faces": Preset(
        "the course's generator, an hour on a CPU", CALM, 600_000,
        sizes={"width": 32, "held_out": "held-out"},
        fit={"pictures_every": FILM | set(range(1000, 100_000, 1000)), "save_every": 1000},
        weights="faces-dcgan",
    ),
    "quick": Preset("seconds: it has only begun", R1, 4_000, sizes={"width": 24}),
    "full": Preset("minutes on a GPU", replace(R1, decay_from=0.6), 1_000_000, sizes={"width": 64}),
    "tutorial": Preset("the article's recipe", TUTORIAL, 1_000_000, sizes={"width": 64}),
    "anime-faces": Preset(
        "21,551 collected faces from the Hub, for a GPU", CALM, 2_000_000,
        data="huggan/anime-faces", sizes={"width": 64},
    ),
}  # fmt: skip


class Trained(NamedTuple):
    generator: Generator  # the average, where the recipe has one; ready to paint
    history: training.History


def networks(
    recipe: Recipe, width: int, image_size: int, seed: int
) -> tuple[Generator, Discriminator]:
    """G and D as a training with that seed begins: the same for recipes with the same layers."""
    torch.manual_seed(training.derive(seed, "weights"))
    G = Generator(NOISE_SIZE, width, image_size=image_size).apply(initialise_weights)
    D = Discriminator(
        width,
        image_size=image_size,
        normalization=recipe.normalization,
        sigmoid=recipe.loss == "tutorial",
        leak=recipe.leak,
    ).apply(initialise_weights)
    return G, D


def build(
    data: training.Data,
    recipe: Recipe = R1,
    *,
    width: int = 32,
    image_size: int = 64,
    seed: int = 0,
    precision: str | None = None,
    held_out: training.Data | str | None = None,
) -> training.Training:
    """A DCGAN on `data`, ready to be trained: `build(…).fit(images=600_000)`.

    width: of both networks. held_out: faces D never learns from, or the name of a bundled split;
    the history then tells what D thinks of them. The same seed gives the same first weights, noise
    and order of pictures to every recipe. With several processes BatchNorm stays each one's own: it
    sees as many pictures as in one. CourseError where pictures and networks differ in size.
    """
    side = data.tensor([0]).shape[-1] if len(data) else image_size
    if side != image_size:
        raise CourseError(
            f"the pictures are {side}×{side}, the networks {image_size}×{image_size}: load them "
            f"with size={image_size}, or give their size as image_size (32, 64 or 128)"
        )
    held_out = faces.load(held_out) if isinstance(held_out, str) else held_out
    accelerator = training.make_accelerator(precision)
    device = accelerator.device
    if recipe.loss == "tutorial" and accelerator.mixed_precision == "fp16":
        raise CourseError("the tutorial's step does not scale its losses, as fp16 needs: take bf16")
    G, D = (
        net.to(device, memory_format=torch.channels_last)  # CPUs' and GPUs' own order
        for net in networks(recipe, width, image_size, seed)
    )
    average = training.EMA(G, recipe.average) if recipe.average else None
    adam = partial(  # fused: the update in one pass
        torch.optim.Adam, betas=recipe.betas, fused=device.type in ("cpu", "cuda")
    )
    G_optimiser = adam(G.parameters(), recipe.generator_rate)
    D_optimiser = adam(D.parameters(), recipe.discriminator_rate)
    parts = accelerator.prepare(G, D, G_optimiser, D_optimiser)
    # The same in every process, so that all take the penalty in the same steps.
    lottery = torch.Generator().manual_seed(training.derive(seed, "penalty"))
    film = torch.Generator().manual_seed(training.derive(seed, "film"))
    fixed_noise = torch.randn(64, NOISE_SIZE, generator=film).to(device)
    result = partial(_finished, average.network if average else G, seed)
    return training.Training(
        step=_step(recipe, parts, accelerator.backward, lottery),
        data=data,
        recipe=recipe,
        keep={
            "generator": G,
            "discriminator": D,
            **({"average": average} if average else {}),
            "generator_optimiser": parts[2],
            "discriminator_optimiser": parts[3],
            "lottery": lottery,
        },
        result=result,
        config={"width": width, "image_size": image_size},
        accelerator=accelerator,
        seed=seed,
        flip=recipe.flip,
        schedule=training.linear_decay(recipe.decay_from) if recipe.decay_from < 1 else None,
        pictures=lambda: paint(result(), fixed_noise),
        watch=partial(_verdicts, D, data, held_out, device) if held_out is not None else None,
    )


def _step(
    recipe: Recipe, parts: Sequence, backward: Callable[[Tensor], None], lottery: torch.Generator
) -> training.Step:
    """The recipe's step, with the networks and optimisers it changes."""
    if recipe.loss == "tutorial":
        return partial(tutorial_step, *parts)
    changed = partial(augment, shift=recipe.shift, cutout=recipe.cutout)
    return partial(
        adversarial_step,
        *parts,
        loss=recipe.loss,
        penalty=recipe.penalty,
        penalty_share=recipe.penalty_share,
        augment=changed if recipe.shift or recipe.cutout else None,
        backward=backward,
        lottery=lottery,
    )


def _finished(painter: Generator, seed: int) -> Generator:
    """A copy to paint with, its BatchNorm statistics measured anew for these very weights."""
    result = deepcopy(painter).requires_grad_(True)
    statistics = torch.Generator().manual_seed(training.derive(seed, "statistics"))
    noises = torch.randn(8, 64, NOISE_SIZE, generator=statistics)
    training.refresh_batchnorm(result, iter(noises.to(next(result.parameters()).device)))
    return result.eval()


def train(
    data: training.Data,
    recipe: Recipe = R1,
    *,
    images: int,
    width: int = 32,
    image_size: int = 64,
    seed: int = 0,
    precision: str | None = None,
    held_out: training.Data | None = None,
    **options: Any,
) -> Trained:
    """`build`, then train until the networks have seen `images` pictures.

    options: `training.fit`'s (folder, max_minutes, pictures_every, …).
    """
    plan = build(
        data, recipe, width=width, image_size=image_size, seed=seed,
        precision=precision, held_out=held_out,
    )  # fmt: skip
    history = plan.fit(images, **options)
    return Trained(plan.result(), history)


def load_or_train(budget: str, data: training.Data | None = None, **options: Any) -> Trained:
    """One call for all: "pretrained" loads the committed generator, the others train one on `data`.

    budget: "pretrained", or what `settings.budget()` says: "quick" (seconds; a narrow network that
    has only begun) or "full" (for a GPU), both as in `PRESETS`. options: `train`'s.
    """
    if budget == "pretrained":
        name = PRESETS["faces"].weights
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


@torch.no_grad()
def paint(generator: nn.Module, noise: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) from noise, with BatchNorm's stored statistics.

    In evaluation mode a picture depends on its own noise alone, not on the others of its batch.
    """
    with evaluating(generator):
        return generator(noise)


@torch.no_grad()
def _verdicts(
    discriminator: nn.Module, learnt: training.Data, held_out: training.Data, device: torch.device
) -> dict[str, float]:
    """D's mean verdict on faces it learns from and on faces it has never seen."""
    number = min(256, len(learnt), len(held_out))
    with evaluating(discriminator):
        return {
            name: discriminator(data.tensor(range(number)).to(device)).mean().item()
            for name, data in (("D(x) learnt", learnt), ("D(x) held out", held_out))
        }
