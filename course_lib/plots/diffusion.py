"""Lesson 5's diagrams: the U-Net, where it looks, and the whole way from words to a picture."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import FancyBboxPatch

from course_lib.pixels import to_uint8
from course_lib.plots.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, VERMILLION, styled

ARROW = {"arrowstyle": "-|>", "color": INK, "lw": 1.2}


@styled
def show_unet(unet) -> None:
    """Draw diffusers' `UNet2DConditionModel` as a U, from its configuration.

    Down on the left, up on the right; side and channels in each box; the words enter where a box
    has cross-attention; the time enters all of them.
    """
    config = unet.config
    levels = len(config.block_out_channels)
    _figure, axes = plt.subplots(figsize=(10.5, 1.35 * levels + 2.2))
    right = 2 * levels + 1
    for level, channels in enumerate(config.block_out_channels):
        side = config.sample_size >> level
        y = -1.25 * level
        for x, kind in (
            (level, config.down_block_types[level]),
            (right - level, config.up_block_types[levels - 1 - level]),
        ):
            looks = kind.startswith("CrossAttn")
            _block(axes, x, y, side, channels, looks)
            if looks:
                _words_to(axes, x, y, levels)
        _arrow(axes, (level + 0.42, y), (right - level - 0.42, y), color=GREY, ls="--")
        middle = (level + right - level) / 2
        note = "skip: what was seen on the way down" if level == 0 else ""
        axes.text(middle, y + 0.08, note, ha="center", va="bottom", color=GREY, fontsize=9)
        if level < levels - 1:
            _arrow(axes, (level + 0.2, y - 0.4), (level + 0.8, y - 0.85))
            _arrow(axes, (right - level - 0.8, y - 0.85), (right - level - 0.2, y - 0.4))
    bottom = -1.25 * (levels - 1)
    _block(axes, right / 2, bottom - 1.0, side, channels, True, name="middle")
    _arrow(axes, (levels - 1 + 0.35, bottom - 0.4), (right / 2 - 0.45, bottom - 0.9))
    _arrow(axes, (right / 2 + 0.45, bottom - 0.9), (right - levels + 1 - 0.35, bottom - 0.4))
    _words_to(axes, right / 2, bottom - 1.0, levels)
    number = config.in_channels
    axes.text(-0.55, 0, f"noisy latents\n{number} × 16 × 16\nand the time", ha="right", va="center")
    _arrow(axes, (-0.5, 0), (-0.4, 0))
    axes.text(right + 0.55, 0, f"direction\n{number} × 16 × 16", ha="left", va="center")
    _arrow(axes, (right + 0.4, 0), (right + 0.52, 0))
    base = bottom - 2.05
    box = FancyBboxPatch(
        (-0.4, base - 0.2), right + 0.8, 0.4, "round,pad=0.02", fc=ORANGE, alpha=0.5
    )
    axes.add_patch(box)
    words = f"the words: a vector of {config.cross_attention_dim} numbers for each token"
    axes.text(right / 2, base, words, ha="center", va="center")
    axes.set(xlim=(-2.0, right + 1.8), ylim=(base - 0.3, 0.6))
    axes.axis("off")
    plt.show()


def _block(axes, x: float, y: float, side: int, channels: int, looks: bool, name: str = "") -> None:
    box = FancyBboxPatch(
        (x - 0.36, y - 0.36), 0.72, 0.72, "round,pad=0.02", fc=BLUE, ec="none", alpha=0.25
    )
    axes.add_patch(box)
    lines = [name] if name else []
    lines += [f"{side} × {side}", f"{channels} ch."]
    axes.text(x, y + (0.08 if looks else 0), "\n".join(lines), ha="center", va="center", fontsize=9)
    if looks:
        axes.text(
            x, y - 0.28, "looks at words", ha="center", va="center", fontsize=7, color=VERMILLION
        )


def _words_to(axes, x: float, y: float, levels: int) -> None:
    base = -1.25 * (levels - 1) - 1.85
    _arrow(axes, (x, base), (x, y - 0.4), color=ORANGE, alpha=0.9, zorder=0)


def _arrow(axes, start, end, **look) -> None:
    axes.annotate("", end, start, arrowprops=ARROW | look)


@styled
def show_looks(image, words: Sequence[str], maps: torch.Tensor, name: str = "painted") -> None:
    """Draw an image (3, S, S), and over it for each word where it was looked at: maps (n, s, s).

    name: of the image. Each map has a scale of its own, from its least to its most.
    """
    picture = to_uint8(image[None])[0]
    side = picture.shape[0]
    _figure, all_axes = plt.subplots(1, len(words) + 1, figsize=(1.75 * (len(words) + 1), 2.1))
    grey = np.repeat(picture.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
    for i, axes in enumerate(all_axes):
        axes.imshow(grey if i else picture, extent=(0, side, side, 0))
        if i:
            look = {"cmap": "inferno", "alpha": 0.6, "interpolation": "bilinear"}
            axes.imshow(maps[i - 1].cpu().numpy(), extent=(0, side, side, 0), **look)
        axes.set(xticks=[], yticks=[], title=words[i - 1] if i else name)
        axes.grid(False)
    plt.show()


@styled
def show_flow(
    prompt: str, tokens: Sequence[str], states, noise, latents, image, names: Sequence[str]
) -> None:
    """Draw the way from a prompt to a picture, each box with what was in it.

    tokens: words and signs. states: (T, W). noise, latents: (C, S, S). image: (3, S, S). names:
    what makes each of the four arrows: tokenizer, text encoder, U-Net, decoder.
    """
    figure, axes = plt.subplots(figsize=(11, 5))
    axes.set(xlim=(0, 11.1), ylim=(-0.25, 4.6), aspect="equal")
    axes.axis("off")
    figure.get_layout_engine().set(w_pad=0, h_pad=0)
    _box(axes, 0.1, 3.3, 2.0, 0.9, f"“{prompt}”", ORANGE)
    _box(axes, 3.1, 3.3, 2.4, 0.9, " ".join(tokens), ORANGE)
    _picture(axes, states.detach().cpu().numpy(), 6.6, 3.3, 1.8, 0.9, "", "coolwarm")
    axes.text(8.5, 3.75, "states: a vector\nfor each token", va="center", fontsize=9)
    _picture(axes, _in_colours(noise), 0.5, 0.55, 1.5, 1.5, "noise")
    _picture(axes, _in_colours(latents), 6.75, 0.55, 1.5, 1.5, "latents")
    _picture(axes, to_uint8(image[None])[0], 9.2, 0.4, 1.8, 1.8, "picture")
    _box(axes, 3.2, 0.75, 2.3, 1.1, f"U-Net\n{names[2]}", BLUE)
    for start, end, name in (
        ((2.2, 3.75), (3.05, 3.75), names[0]),
        ((5.6, 3.75), (6.5, 3.75), names[1]),
        ((2.1, 1.3), (3.15, 1.3), ""),
        ((5.6, 1.3), (6.65, 1.3), ""),
        ((8.35, 1.3), (9.1, 1.3), names[3]),
    ):
        _arrow(axes, start, end)
        middle = ((start[0] + end[0]) / 2, start[1] + 0.1)
        axes.text(*middle, name, ha="center", va="bottom", fontsize=9, color=GREEN)
    bend = {"connectionstyle": "arc3,rad=-0.25"}
    axes.annotate("", (5.0, 1.95), (7.4, 3.2), arrowprops=ARROW | bend)
    axes.text(6.2, 2.75, "cross-attention", ha="right", fontsize=9, color=GREEN)
    turn = {"connectionstyle": "arc3,rad=-0.9", "color": PURPLE}
    axes.annotate("", (3.7, 0.7), (5.0, 0.7), arrowprops=ARROW | turn)
    axes.text(4.35, -0.15, "again, at less noise", ha="center", fontsize=9, color=PURPLE)
    plt.show()


def _box(axes, x: float, y: float, width: float, height: float, words: str, colour: str) -> None:
    look = {"fc": colour, "ec": "none", "alpha": 0.3}
    axes.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0.05", **look))
    axes.text(x + width / 2, y + height / 2, words, ha="center", va="center", wrap=True)


def _picture(axes, values, x, y, width, height, name: str, cmap: str | None = None) -> None:
    look = {"cmap": cmap, "vmin": -3, "vmax": 3} if cmap else {}
    extent = (x, x + width, y, y + height)
    axes.imshow(values, extent=extent, aspect="auto", interpolation="nearest", **look)
    axes.text(x + width / 2, y - 0.1, name, ha="center", va="top", fontsize=9)


def _in_colours(latents) -> np.ndarray:
    """The first three channels of latents (C, S, S) as a picture (S, S, 3) of 0…1."""
    values = latents[:3].detach().cpu().float().permute(1, 2, 0).numpy()
    return (values / 6 + 0.5).clip(0, 1)
