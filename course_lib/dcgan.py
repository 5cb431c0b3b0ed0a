"""Lessons 2 and 3: the DCGAN of Radford et al. 2015 (arXiv 1511.06434).

In the order in which lesson 2 explains it: the generator, its mirror image the discriminator, the
first weights, and three small tools to look inside. At 64 px and the default widths both networks
are those of the official PyTorch tutorial, weight by weight: the names in their state dict
(`main.0.weight`, `main.1.weight`, …) are the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.flop_counter import FlopCounterMode

from course_lib import pretrained, training

# image size → how many doublings lie between the first layer (1×1 → 4×4) and the last (→ image)
MIDDLE_LAYERS = {32: 2, 64: 3, 128: 4}
NOISE_SIZE = 100  # the article's nz
PRETRAINED = "faces-dcgan"  # trained by data/train_faces_generator.py
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
        middle = _middle_layers(image_size)
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
            raise ValueError(f"noise is (B, {size}) or (B, {size}, 1, 1), not {tuple(noise.shape)}")
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
        middle = _middle_layers(image_size)
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization is one of {NORMALIZATIONS}, not {normalization!r}")
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
            raise ValueError(f"an image is {self.image_shape} here, not {tuple(images.shape[1:])}")
        return self.main(images).flatten()


def _middle_layers(image_size: int) -> int:
    if image_size not in MIDDLE_LAYERS:
        possible = ", ".join(map(str, MIDDLE_LAYERS))
        raise ValueError(f"image_size {image_size!r} is not possible; choose one of {possible}")
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


class Layer(NamedTuple):
    name: str
    shape: tuple[int, ...]  # of the output, with the batch
    parameters: int


class Trace(list[Layer]):
    """What `trace_shapes` returns: a list of layers that prints as a table."""

    def __repr__(self) -> str:
        rows = [(row.name, " × ".join(map(str, row.shape)), f"{row.parameters:,}") for row in self]
        rows = [("layer", "output", "parameters"), *rows]
        rows += [("", "all", f"{sum(row.parameters for row in self):,}")]
        name, shape, number = (max(len(row[i]) for row in rows) for i in range(3))
        return "\n".join(f"{a:{name}}  {b:>{shape}}  {c:>{number}}".rstrip() for a, b, c in rows)


def trace_shapes(network: nn.Module, x: Tensor) -> Trace:
    """Send x through the network and note each layer's output shape and number of parameters.

    The network is left as it was found: no gradients, no change of BatchNorm's running averages.
    """
    trace = Trace()

    def note(layer: nn.Module, _inputs: tuple, output: Tensor) -> None:
        name = type(layer).__name__.removeprefix("Parametrized")
        trace.append(Layer(name, tuple(output.shape), count_parameters(layer)))

    hooks = [layer.register_forward_hook(note) for layer in _layers(network)]
    try:
        _run_untouched(network, x)
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """The parts that are not made of parts; a spectrally normalised convolution is one."""
    if is_parametrized(network) or not any(True for _ in network.children()):
        yield network
    else:
        for child in network.children():
            yield from _layers(child)


def count_parameters(network: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, x: Tensor) -> int:
    """Floating-point operations of one forward pass over the batch x; a multiply-add is two.

    Counted by PyTorch's FlopCounterMode, which counts convolutions and matrix products only: next
    to them BatchNorm and the activations are small change.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        _run_untouched(network, x)
    return counter.get_total_flops()


def _run_untouched(network: nn.Module, x: Tensor) -> Tensor:
    """A forward pass in evaluation mode; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            return network(x)
    finally:
        for module, training in modes:
            module.training = training


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
    augment: Callable[[Tensor], Tensor] | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    lottery: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The same idea with a choice of loss, for a discriminator that returns scores (no sigmoid).

    D sees real ones and fakes as one batch (so it should not have BatchNorm, which would mix
    them), and is frozen while G learns, which spares the work of gradients that nobody uses.
    loss: "bce" or "hinge". penalty: weight of `gradient_penalty`, which is taken in one step of 16,
    by chance, and then counts sixteenfold: that is as good, and cheap (Karras et al. 2020,
    arXiv 1912.04958). augment: changes images before D sees them, real ones and fakes alike; see
    `augment`. backward: how gradients are computed, `Accelerator.backward` for fp16. lottery: the
    random numbers that choose the steps with a penalty; many processes share one, so that they are
    slow in the same steps and do not wait for each other in all the rest.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r} is unknown; choose one of {', '.join(LOSSES)}")
    loss_of_discriminator, loss_of_generator = LOSSES[loss]
    augment = augment or (lambda images: images)
    fakes = generator(torch.randn(len(real), NOISE_SIZE, 1, 1, device=real.device))

    discriminator_optimiser.zero_grad()
    scores = discriminator(augment(torch.cat([real, fakes.detach()])))
    on_real, on_fakes = scores.chunk(2)
    loss_D = loss_of_discriminator(on_real, on_fakes)
    if penalty and torch.rand((), generator=lottery) < PENALTY_SHARE:
        slope = gradient_penalty(discriminator, augment(real))
        backward(loss_D + penalty / PENALTY_SHARE * slope)
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


PENALTY_SHARE = 1 / 16  # of the steps


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
    flip: bool = False
    shift: float = 0.0  # of `augment`
    cutout: float = 0.0
    decay_from: float = 1.0  # from this part of the training on, the rates fall to 0


TUTORIAL = Recipe("tutorial", "batch", 2e-4, 2e-4, (0.5, 0.999), batch_size=128)
HINGE = Recipe("hinge", "spectral", 2e-4, 4e-4, (0.0, 0.999), 64, average=0.998, flip=True)
R1 = Recipe("bce", "none", 5e-4, 5e-4, (0.0, 0.99), 32, average=0.998, penalty=10.0, flip=True)


class Trained(NamedTuple):
    generator: Generator  # the average, where the recipe has one; ready to paint
    history: training.History


def train(
    data: training.Data,
    recipe: Recipe = R1,
    *,
    images: int,
    width: int = 32,
    image_size: int = 64,
    seed: int = 0,
    held_out: training.Data | None = None,
    precision: str | None = None,
    **options: Any,
) -> Trained:
    """Train a DCGAN on `data` until it has seen `images` pictures.

    width: of both networks. held_out: faces D never learns from; the history then tells what D
    thinks of them. options: `training.fit`'s (folder, max_minutes, pictures_every, …).
    The same seed gives the same first weights, noise and order of pictures to every recipe.

    With several processes (`torchrun`, `accelerate launch`) each takes `recipe.batch_size` pictures
    a step, and gradients are averaged: `images` are reached in so many times fewer steps, with the
    same learning rates. BatchNorm stays each process's own: it sees as many pictures as with one.
    """
    side = data.tensor([0]).shape[-1] if len(data) else image_size
    if side != image_size:
        raise ValueError(
            f"the pictures are {side}×{side}, the networks {image_size}×{image_size}: load them "
            f"with size={image_size}, or give their size as image_size (32, 64 or 128)"
        )
    accelerator = training.make_accelerator(precision)
    tutorial = recipe.loss == "tutorial"
    if tutorial and accelerator.mixed_precision == "fp16":
        raise ValueError("the tutorial's step does not scale its losses, as fp16 needs: take bf16")
    torch.manual_seed(seed)
    fixed_noise = torch.randn(64, NOISE_SIZE).to(accelerator.device)
    G = Generator(NOISE_SIZE, width, image_size=image_size).apply(initialise_weights)
    D = Discriminator(
        width, image_size=image_size, normalization=recipe.normalization, sigmoid=tutorial
    ).apply(initialise_weights)
    G, D = (
        net.to(accelerator.device, memory_format=torch.channels_last)  # CPUs' and GPUs' own order
        for net in (G, D)
    )
    keep: dict[str, Any] = {"generator": G, "discriminator": D}
    if recipe.average:
        keep["average"] = training.EMA(G, recipe.average)
    painter = keep["average"].network if recipe.average else G

    def finished() -> Generator:
        """A copy to paint with, its BatchNorm statistics measured anew for these very weights."""
        result = Generator(NOISE_SIZE, width, image_size=image_size).to(accelerator.device)
        result.load_state_dict(painter.state_dict())
        noises = torch.randn(8, 64, NOISE_SIZE, generator=torch.Generator().manual_seed(seed))
        training.refresh_batchnorm(result, iter(noises.to(accelerator.device)))
        return result.eval()

    fused = accelerator.device.type in ("cpu", "cuda")  # Adam's update in one pass
    G_optimiser = torch.optim.Adam(G.parameters(), recipe.generator_rate, recipe.betas, fused=fused)
    D_optimiser = torch.optim.Adam(
        D.parameters(), recipe.discriminator_rate, recipe.betas, fused=fused
    )
    parts = accelerator.prepare(G, D, G_optimiser, D_optimiser)
    keep |= {"generator_optimiser": parts[2], "discriminator_optimiser": parts[3]}
    lottery = torch.Generator().manual_seed(seed)  # the same in every process
    keep["lottery"] = lottery
    if tutorial:
        step = partial(tutorial_step, *parts)
    else:
        changed = partial(augment, shift=recipe.shift, cutout=recipe.cutout)
        step = partial(
            adversarial_step,
            *parts,
            loss=recipe.loss,
            penalty=recipe.penalty,
            augment=changed if recipe.shift or recipe.cutout else None,
            backward=accelerator.backward,
            lottery=lottery,
        )
    if recipe.decay_from < 1:
        options["schedule"] = training.linear_decay(recipe.decay_from)
    if held_out is not None:
        options["watch"] = partial(_verdicts, D, data, held_out, accelerator.device)

    history = training.fit(
        step,
        data,
        steps=-(-images // (recipe.batch_size * accelerator.num_processes)),
        batch_size=recipe.batch_size,
        seed=seed,
        flip=recipe.flip,
        keep=keep,
        pictures=lambda: paint(finished(), fixed_noise),
        accelerator=accelerator,
        **options,
    )
    return Trained(finished(), history)


BUDGETS: dict[str, dict[str, Any]] = {  # of `load_or_train`; a GPU does "full"
    "quick": {"recipe": R1, "width": 24, "images": 4_000},
    "full": {"recipe": replace(R1, decay_from=0.6), "width": 64, "images": 1_000_000},
}


def load_or_train(budget: str, data: training.Data | None = None, **options: Any) -> Trained:
    """One call for all: "pretrained" loads the committed generator, the others train one on `data`.

    budget: "pretrained", or what `settings.budget()` says: "quick" (seconds; a narrow network that
    has only begun) or "full" (for a GPU). options: `train`'s.
    """
    if budget == "pretrained":
        about = pretrained.describe(PRETRAINED)["training"]
        film = pretrained.film(PRETRAINED)
        history = training.History(about["recipe"]["batch_size"], snapshots=film)
        return Trained(pretrained.load(PRETRAINED, Generator), history)
    if budget not in BUDGETS:
        known = ", ".join(["pretrained", *BUDGETS])
        raise ValueError(f"budget {budget!r} is unknown; choose one of {known}")
    if data is None:
        raise ValueError(f'a {budget} training needs data, such as faces.load("train")')
    return train(data, **BUDGETS[budget] | options)


@torch.no_grad()
def paint(generator: nn.Module, noise: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) from noise, with BatchNorm's stored statistics.

    In evaluation mode a picture depends on its own noise alone, not on the others of its batch.
    """
    was_training = generator.training
    generator.eval()
    try:
        return generator(noise)
    finally:
        generator.train(was_training)


@torch.no_grad()
def _verdicts(
    discriminator: nn.Module, learnt: training.Data, held_out: training.Data, device: torch.device
) -> dict[str, float]:
    """D's mean verdict on faces it learns from and on faces it has never seen."""
    number = min(256, len(learnt), len(held_out))
    discriminator.eval()
    verdicts = {
        name: discriminator(data.tensor(range(number)).to(device)).mean().item()
        for name, data in (("D(x) learnt", learnt), ("D(x) held out", held_out))
    }
    discriminator.train()
    return verdicts
