"""LoRA: teach a painter another artist's style by a few small matrices beside its weights.

Hu et al. 2021 (arXiv 2106.09685): a layer W stays as it is and gets B·A added, where A brings its
input down to `rank` numbers and B brings them up again; B begins at 0, so at first nothing changes.
`peft` puts these matrices in, diffusers loads them into any pipeline of the same networks.

Mostly only the U-Net gets some. A small decoder has seen one hand only, and what it cannot draw no
U-Net can paint, so here the decoder gets its own, first: `build_decoder_lora`, then `build_lora`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from course_lib import faces, training
from course_lib.errors import CourseError
from course_lib.files import atomic
from course_lib.latent_diffusion import Painter, PlainLatents, wordless_step
from course_lib.latent_diffusion.autoencoder import adamw, autoencoder_step, layout, strokes
from course_lib.latent_diffusion.unet import latents_of

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import AutoencoderKL, UNet2DConditionModel

STYLE = "lorelei"  # of DiceBear: "Lorelei" by Lisa Wischofsky, CC0 1.0
LOOKS = ("to_q", "to_k", "to_v", "to_out.0")  # where a LoRA usually sits: the attention
STROKES = ("conv1", "conv2", "proj_in", "proj_out")  # a style is in the convolutions, too
DECODER = r"decoder\.(.*\.)?conv(1|2|_in|_out|_shortcut)?"  # every convolution of the decoder
WEIGHTS = "faces-lorelei-lora"  # the committed one
# Paper as the course's backgrounds, ink as its darkest outlines: RGB, 0 … 255.
PAPERS = np.array([(185, 220, 246), (251, 203, 217), (216, 201, 243), (195, 235, 201)])
INK = np.array([46, 31, 64])
FILE = "pytorch_lora_weights.safetensors"  # diffusers' own name


@dataclass(frozen=True)
class DecoderRecipe:
    """What the decoder's LoRA is trained with."""

    rank: int = 16
    batch_size: int = 4
    lora_rate: float = 3e-3
    squares: float = 2.0  # see `autoencoder_step`
    perceptual: float = 0.1


@dataclass(frozen=True)
class LoraRecipe:
    """What the U-Net's LoRA is trained with."""

    rank: int = 16
    batch_size: int = 8
    lora_rate: float = 3e-3
    shift: float = 0.0  # of the times; strokes are decided late, see lesson 5


def printed(drawings: faces.Faces) -> faces.Faces:
    """Black and white drawings, printed in dark ink on paper of four pale colours in turn.

    Paper and ink are the course's own colours: what then differs from its faces is the hand.
    """
    light = drawings.images / 255  # (N, S, S, 3)
    papers = PAPERS[np.arange(len(light)) % len(PAPERS)][:, None, None]
    images = (light * papers + (1 - light) * INK).round().astype(np.uint8)
    return faces.Faces(images, seeds=drawings.seeds, name=f"{drawings.name}, printed")


def add_lora(
    network: UNet2DConditionModel | AutoencoderKL,
    rank: int = 16,
    where: Sequence[str] | str = (*LOOKS, *STROKES),
) -> list[nn.Parameter]:
    """Put matrices of this rank beside a network's layers; returns them. All else stays fixed.

    where: ends of the layers' names, or one pattern of whole names. CourseError when there are some
    already, or for a rank below 1.
    """
    from peft import LoraConfig

    if rank < 1:
        raise CourseError(f"rank is {rank}; choose 1 or more, such as 16")
    if getattr(network, "peft_config", None):
        raise CourseError("this network has a LoRA already: load the painter anew")
    network.requires_grad_(False)
    targets = where if isinstance(where, str) else list(where)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))
    return [p for p in network.parameters() if p.requires_grad]


def build_decoder_lora(
    data: faces.Faces,
    painter: Painter,
    recipe: DecoderRecipe | None = None,
    *,
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """A LoRA in `painter`'s decoder that learns to draw `data`, pictures of 64×64.

    The encoder stays, and so do the latents. The painter is changed: load one for this alone.
    `result()` is its autoencoder with the LoRA.
    """
    recipe = recipe or DecoderRecipe()
    accelerator = training.make_accelerator(precision)
    autoencoder = painter.autoencoder
    autoencoder.to(memory_format=layout(accelerator.device, accelerator.mixed_precision))
    torch.manual_seed(training.derive(seed, "weights"))
    learning = add_lora(autoencoder, recipe.rank, DECODER)
    prepared = accelerator.prepare(adamw(learning, recipe.lora_rate, accelerator.device))
    step = partial(
        autoencoder_step, autoencoder, prepared, look=strokes(), squares=recipe.squares, kl=0.0,
        perceptual=recipe.perceptual, scales=0.0, backward=accelerator.backward,
        autocast=accelerator.autocast,
    )  # fmt: skip
    return training.Training(
        step=step,
        data=data,
        keep={"autoencoder": autoencoder, "optimiser": prepared},
        result=lambda: autoencoder,
        **_in_common(recipe, accelerator, seed),
    )


def build_lora(
    data: faces.Faces,
    painter: Painter,
    recipe: LoraRecipe | None = None,
    *,
    seed: int = 0,
    precision: str | None = None,
) -> training.Training:
    """A LoRA in `painter`'s U-Net that learns the style of `data`, pictures of 64×64.

    The painter is changed: load one for this alone. `result()` is its U-Net with the LoRA.
    """
    recipe = recipe or LoraRecipe()
    accelerator = training.make_accelerator(precision)
    unet, empty = painter.unet, painter.states([""])[1]
    unet.to(memory_format=layout(accelerator.device, accelerator.mixed_precision))
    torch.manual_seed(training.derive(seed, "weights"))
    learning = add_lora(unet, recipe.rank)
    prepared = accelerator.prepare(adamw(learning, recipe.lora_rate, accelerator.device))

    def ask(places: Tensor, times: Tensor) -> Tensor:  # such pictures have no captions
        return unet(places, times, empty.expand(len(places), -1, -1)).sample

    step = partial(
        wordless_step, ask, prepared, shift=recipe.shift, backward=accelerator.backward,
        autocast=accelerator.autocast,
    )  # fmt: skip
    return training.Training(
        step=step,
        data=PlainLatents(latents_of(painter.autoencoder, data)[0]),
        keep={"unet": unet, "optimiser": prepared},
        result=lambda: unet,
        **_in_common(recipe, accelerator, seed),
    )


def _in_common(
    recipe: DecoderRecipe | LoraRecipe, accelerator: Accelerator, seed: int
) -> dict[str, Any]:
    """What both trainings are told alike."""
    return {
        "recipe": recipe,
        "config": {"rank": recipe.rank},
        "accelerator": accelerator,
        "seed": seed,
        "schedule": training.one_cycle(warm=0.1),
    }


def save_lora(painter: Painter, folder: str | Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write a painter's LoRA as diffusers names it.

    Any pipeline of these networks reads it:

        pipeline.load_lora_weights(folder, adapter_name="ink")
        pipeline.vae.load_lora_adapter(
            folder, prefix="vae", weight_name="pytorch_lora_weights.safetensors", adapter_name="ink"
        )

    dtype: of its numbers; the course's own has 16 bits, as all its weights have. Returns the file,
    of safetensors. CourseError when neither U-Net nor decoder has a LoRA.
    """
    from peft.utils import get_peft_model_state_dict

    # With peft's own names. `convert_state_dict_to_diffusers` gives the attention's others than the
    # convolutions'; diffusers then looks at the first name only, and leaves out the attention, with
    # no more than a warning (0.42).
    state = {
        f"{part}.{name}": value.to(dtype).contiguous()
        for part, network in {"unet": painter.unet, "vae": painter.autoencoder}.items()
        if getattr(network, "peft_config", None)
        for name, value in get_peft_model_state_dict(network).items()
    }
    if not state:
        raise CourseError("this painter has no LoRA: train one with `build_lora` first")
    file = Path(folder) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic(file) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    return file


def weigh(painter: Painter, weight: float) -> None:
    """How much a painter's LoRA counts: 0 not at all, 1 as learnt, between them in between."""
    for network in (painter.unet, painter.autoencoder):
        for module in network.modules():
            if hasattr(module, "set_scale"):
                module.set_scale("default", weight)
