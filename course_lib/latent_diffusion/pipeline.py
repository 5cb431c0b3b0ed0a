"""The parts put together as a genuine `StableDiffusionPipeline`, saved and loaded."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from course_lib import pretrained, settings, text
from course_lib.files import atomic
from course_lib.latent_diffusion.painting import WEIGHTS

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from transformers import BertTokenizer, CLIPTextModel

SAYS_NOTHING = "的"  # a particle; of all known words one of those that change a thought least


def scheduler() -> DPMSolverMultistepScheduler:
    """`flow.two_step` as diffusers has it, for networks that know the velocity of a flow."""
    return DPMSolverMultistepScheduler(
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=1.0,
        steps_offset=1,  # of no effect here; diffusers warns of any other
    )


def tokenizer(encoder: text.TextEncoder) -> BertTokenizer:
    """transformers' own tokenizer with our words; unknown ones become [UNK], see also `padded`."""
    from transformers import BertTokenizer

    ids = {word: i for i, word in enumerate(encoder.words)}
    return BertTokenizer(vocab=ids, model_max_length=text.LENGTH, pad_token="[SEP]")


@torch.no_grad()
def text_model(encoder: text.TextEncoder) -> CLIPTextModel:
    """The encoder as transformers' `CLIPTextModel`, ready for what our own tokenizer spares it.

    Ours makes signs of full width plain, and leaves out unknown words. transformers' does not; so
    their vectors become those of the plain signs, and of a word that says nothing.
    """
    model = encoder.clip.as_transformers(encoder.end, text.PAD)
    vectors = model.get_input_embeddings().weight
    ids = {word: i for i, word in enumerate(encoder.words)}
    for word, i in ids.items():
        plain = unicodedata.normalize("NFKC", word)
        if plain in ids:
            vectors[i] = vectors[ids[plain]]
    vectors[encoder.unknown] = vectors[ids[SAYS_NOTHING]]
    return model


def assemble(
    unet: UNet2DConditionModel, autoencoder: AutoencoderKL, encoder: text.TextEncoder
) -> StableDiffusionPipeline:
    """A `StableDiffusionPipeline` of these parts; they are shared, not copied."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_model(encoder),
        tokenizer=tokenizer(encoder),
        unet=unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save(pipeline: StableDiffusionPipeline, folder: str | Path) -> Path:
    """Write a pipeline as diffusers does, so that every version we know can load it.

    transformers ≥ 5.6 leaves the prefix `text_model.` out of the text model's names; older ones
    then begin with random weights and say so in a warning only. So it is put back. The pictures'
    networks are saved in 16 bits, the text model, which is small, in 32: it would stay in 16.
    """
    folder = Path(folder)
    pipeline.save_pretrained(folder, safe_serialization=True)
    for part in ("unet", "vae"):
        rewrite(folder / part / "diffusion_pytorch_model.safetensors", dtype=torch.float16)
    rewrite(folder / "text_encoder" / "model.safetensors", prefix="text_model.")
    words = "\n".join(pipeline.tokenizer.convert_ids_to_tokens(range(len(pipeline.tokenizer))))
    with atomic(folder / "tokenizer" / "vocab.txt") as temporary:  # for older transformers
        temporary.write_text(words + "\n", encoding="utf-8")
    return folder


def load(name: str = WEIGHTS, folder: str | Path | None = None) -> StableDiffusionPipeline:
    """The course's own pipeline, or that of a training's `folder`, on `settings.device()`.

    The same as diffusers' `DiffusionPipeline.from_pretrained`, after a look at the hashes.
    PretrainedError when there is none of that name, or a file is missing or was changed.
    """
    from diffusers import StableDiffusionPipeline

    path = pretrained.whole_folder(name, folder)
    pipeline = StableDiffusionPipeline.from_pretrained(path, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(settings.device())


def rewrite(path: Path, dtype: torch.dtype | None = None, prefix: str = "") -> None:
    """Change a file's numbers to `dtype`, and begin all names with `prefix`."""
    changed = {
        prefix + name.removeprefix(prefix): value.to(dtype or value.dtype).contiguous()
        for name, value in load_file(path).items()
    }
    with atomic(path) as temporary:
        save_file(changed, temporary, metadata={"format": "pt"})
