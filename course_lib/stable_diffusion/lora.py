"""LoRA: teach a painter another artist's style by a few small matrices beside its weights.

Hu et al. 2021 (arXiv 2106.09685): a layer W stays as it is and gets B·A added, where A brings its
input down to `rank` numbers and B brings them up again; B begins at 0, so at first nothing changes.
`peft` puts these matrices in, diffusers loads them into any pipeline of the same U-Net.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import faces, training
from course_lib.errors import CourseError
from course_lib.latent_diffusion import Painter, PlainLatents, wordless_step
from course_lib.latent_diffusion.autoencoder import adamw, layout

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import AutoencoderKL, UNet2DConditionModel

STYLE = "lorelei"  # of DiceBear: "Lorelei" by Lisa Wischofsky, CC0 1.0
LOOKS = ("to_q", "to_k", "to_v", "to_out.0")  # where a LoRA usually sits: the attention
STROKES = ("conv1", "conv2", "proj_in", "proj_out")  # a style is in the convolutions, too
WEIGHTS = "faces-lorelei-lora"  # the committed one
# Paper as the course's backgrounds, ink as its darkest outlines: RGB, 0 … 255.
PAPERS = np.array([(185, 220, 246), (251, 203, 217), (216, 201, 243), (195, 235, 201)])
INK = np.array([46, 31, 64])
FILE = "pytorch_lora_weights.safetensors"  # diffusers' own name


@dataclass(frozen=True)
class LoraRecipe:
    """What a LoRA is trained with."""

    rank: int = 16
    batch_size: int = 16
    lora_rate: float = 4e-3
    shift: float = 0.0  # of the times; strokes are decided late, see lesson 5
    search: int = 8  # steps in which each picture's latents are looked for


def printed(drawings: faces.Faces) -> faces.Faces:
    """Black and white drawings, printed in dark ink on paper of four pale colours in turn.

    The course's autoencoder has never seen a white background or a black line: it gives white back
    as pink. What it cannot decode, no LoRA in the U-Net can paint.
    """
    light = drawings.images / 255  # (N, S, S, 3)
    papers = PAPERS[np.arange(len(light)) % len(PAPERS)][:, None, None]
    images = (light * papers + (1 - light) * INK).round().astype(np.uint8)
    return faces.Faces(images, seeds=drawings.seeds, name=f"{drawings.name}, printed")


def search_latents(
    autoencoder: AutoencoderKL,
    images: Tensor,
    steps: int = 8,
    *,
    rate: float = 0.1,
    accelerator: Accelerator | None = None,
) -> Tensor:
    """Latents (B, 4, S / 4, S / 4) that decode to images (B, 3, S, S) as well as can be found.

    The encoder has never seen such pictures either, and its guess can be bettered: from there on
    by Adam, downhill in what the decoder gets wrong. With 0 steps it is the encoder's guess.
    """
    autocast = accelerator.autocast if accelerator else nullcontext
    autoencoder.requires_grad_(False)
    found = []
    for part in images.to(autoencoder.device).split(32):
        latents = autoencoder.encode(part).latent_dist.mode().requires_grad_(steps > 0)
        optimiser = torch.optim.Adam([latents], rate) if steps else None
        for _ in range(steps):
            with autocast():
                wrong = autoencoder.decode(latents).sample.float() - part
            (wrong.square() + wrong.abs() / 2).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        found.append(latents.detach())
    return torch.cat(found)


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
    latents = search_latents(
        painter.autoencoder, data.tensor(), recipe.search, accelerator=accelerator
    ).cpu()
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


def save_lora(
    unet: UNet2DConditionModel, folder: str | Path, dtype: torch.dtype = torch.float32
) -> Path:
    """Write the LoRA as diffusers does; `pipeline.load_lora_weights(folder)` reads it anywhere.

    dtype: of its numbers; the course's own has 16 bits, as all its weights have. Returns the file,
    of safetensors. CourseError when the U-Net has no LoRA.
    """
    from diffusers import StableDiffusionPipeline
    from peft.utils import get_peft_model_state_dict

    if not getattr(unet, "peft_config", None):
        raise CourseError("this U-Net has no LoRA: train one with `build_lora` first")
    # With peft's own names. `convert_state_dict_to_diffusers` gives the attention's others than the
    # convolutions'; diffusers then looks at the first name only, and leaves out the attention, with
    # no more than a warning (0.42).
    learnt = get_peft_model_state_dict(unet)
    state = {name: value.to(dtype).contiguous() for name, value in learnt.items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=state)
    return Path(folder) / FILE


def weigh(unet: UNet2DConditionModel, weight: float) -> None:
    """How much the LoRA counts: 0 not at all, 1 as learnt, between them in between."""
    for module in unet.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", weight)
