"""LoRA: teach a painter another artist's style by a few small matrices beside its weights.

Hu et al. 2021 (arXiv 2106.09685): a layer W stays as it is and gets B·A added, where A brings its
input down to `rank` numbers and B brings them up again; B begins at 0, so at first nothing changes.
`peft` puts these matrices in, diffusers loads them into any pipeline of the same U-Net.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from course_lib import faces, training
from course_lib.errors import CourseError
from course_lib.latent_diffusion import Painter, PlainLatents, latents_of, wordless_step
from course_lib.latent_diffusion.autoencoder import adamw, layout

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

STYLE = "lorelei"  # of DiceBear: "Lorelei" by Lisa Wischofsky, CC0 1.0
LOOKS = ("to_q", "to_k", "to_v", "to_out.0")  # where a LoRA usually sits: the attention
STROKES = ("conv1", "conv2", "proj_in", "proj_out")  # a style is in the convolutions, too
FILE = "pytorch_lora_weights.safetensors"  # diffusers' own name


@dataclass(frozen=True)
class LoraRecipe:
    """What a LoRA is trained with."""

    rank: int = 16
    batch_size: int = 16
    lora_rate: float = 3e-3
    shift: float = 0.5  # of the times, as in lesson 5


def add_lora(unet: UNet2DConditionModel, rank: int = 16) -> list[nn.Parameter]:
    """Put matrices of this rank beside the U-Net's layers; returns them. All else stays fixed.

    CourseError when there are some already, or for a rank below 1.
    """
    from peft import LoraConfig

    if rank < 1:
        raise CourseError(f"rank is {rank}; choose 1 or more, such as 16")
    if getattr(unet, "peft_config", None):
        raise CourseError("this U-Net has a LoRA already: load the painter anew")
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(
            r=rank, lora_alpha=rank, init_lora_weights=True, target_modules=[*LOOKS, *STROKES]
        )
    )
    return [p for p in unet.parameters() if p.requires_grad]


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
    latents = latents_of(painter.autoencoder, data)[0]
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
        data=PlainLatents(latents),
        recipe=recipe,
        keep={"unet": unet, "optimiser": prepared},
        result=lambda: unet,
        config={"rank": recipe.rank},
        accelerator=accelerator,
        seed=seed,
        schedule=training.one_cycle(warm=0.1),
    )


def save_lora(unet: UNet2DConditionModel, folder: str | Path) -> Path:
    """Write the LoRA as diffusers does; `pipeline.load_lora_weights(folder)` reads it anywhere.

    Returns the file, of safetensors. CourseError when the U-Net has none.
    """
    from diffusers import StableDiffusionPipeline
    from peft.utils import get_peft_model_state_dict

    if not getattr(unet, "peft_config", None):
        raise CourseError("this U-Net has no LoRA: train one with `build_lora` first")
    # With peft's own names. `convert_state_dict_to_diffusers` gives the attention's others than the
    # convolutions'; diffusers then looks at the first name only, and leaves out the attention, with
    # no more than a warning (0.42).
    state = {name: value.contiguous() for name, value in get_peft_model_state_dict(unet).items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=state)
    return Path(folder) / FILE


def weigh(unet: UNet2DConditionModel, weight: float) -> None:
    """How much the LoRA counts: 0 not at all, 1 as learnt, between them in between."""
    for module in unet.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", weight)
