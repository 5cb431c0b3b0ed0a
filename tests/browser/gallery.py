"""A small notebook that shows every widget once; its painters are quick, and paint no faces."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tools.notebooks import KERNEL

NAME = "gallery.ipynb"
HEAD = """\
import numpy as np
import torch
from course_lib import faces, pixels, text, toy, widgets
from course_lib import latent_diffusion as ld

known = faces.load("held-out")[:16]"""
CELLS = {  # a widget's class in the page: the cell that shows it
    "gan-playground": 'widgets.Playground("ring", still_rounds=10)',
    "film": """\
widgets.Scrubber([known.images[i : i + 8] for i in range(8)], [f"{i} images" for i in range(8)])""",
    "easel": """\
def paint(prompts, seed):
    return known.tensor()[(torch.arange(len(prompts)) + seed) % 16]

widgets.Easel(paint, text.TextEncoder(), "红眼睛，蓝色长发, a smile")""",
    "duel": 'widgets.Duel(ld.PlaneFlow, "three blobs", still_rounds=10)',
    "verdicts": """\
widgets.VerdictSheet(
    [known.images[:4], known.images[4:8]],
    [["it wears a hat", "it is as blue as the sky above a quiet harbour"], ["stars"]],
    ["a cat in a hat", "starry night"],
    article={"a cat in a hat": "it never wears one"},
)""",
    "sketchpad": """\
def redraw(image, prompt, strength, seeds):
    return torch.cat([image * strength - 0.1 * (seed % 5) for seed in seeds])

widgets.Sketchpad(redraw, "blue hair, green eyes, a smile")""",
}


def write(folder: Path) -> None:
    """The gallery, as a notebook of `folder`."""
    gallery = new_notebook(metadata={"kernelspec": KERNEL})
    gallery.cells = [new_code_cell(code) for code in (HEAD, *CELLS.values())]
    nbformat.write(gallery, folder / NAME)
