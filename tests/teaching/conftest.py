"""A course of two tiny lessons, as the instructor's commands find it."""

import json
from pathlib import Path

import pytest

HEADER = (
    "# 2 · Sizes\n\n![a badge](figures/badge.svg) [README](../README.md) "
    "[tables](../benchmarks/README.md#a) [far](https://example.org/x.png) [next](03_fine.ipynb)"
    "\n\n**Time** about 45 minutes to read."
)
SOLUTION = (
    "<details><summary>Solution</summary>\n\n```python\nSECRET = 1\n```\n\nBecause.\n\n</details>"
)
SIDE = """\
def side_after(side, kernel, stride, padding, transposed=False):
    return ...


check.output_side(side_after)"""
VARIETY = """\
def variety(images):
    return ...


check.variety(variety)"""
RIGHT_SIDE = """\
def side_after(side, kernel, stride, padding, transposed=False):
    if transposed:
        return (side - 1) * stride + kernel - 2 * padding
    return (side + 2 * padding - kernel) // stride + 1"""


def text(source: str, name: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(source: str, name: str, printed: str = "", tag: str = "") -> dict:
    outputs = [{"name": "stdout", "output_type": "stream", "text": printed}] if printed else []
    return {
        "cell_type": "code",
        "execution_count": 1,
        "id": name,
        "metadata": {"tags": [tag]} if tag else {},
        "outputs": outputs,
        "source": source.splitlines(keepends=True),
    }


def write(path: Path, cells: list[dict]) -> Path:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def sizes(first: str = SIDE, second: str = VARIETY, *more: dict) -> list[dict]:
    """The cells of lesson 2, or of what a student made of it."""
    return [
        text(HEADER, "head"),
        code("from course_lib import exercises as check", "imports", tag="setup"),
        code("import torch\n\nprint('seen')", "torch", "seen\n", "setup"),
        text("**Exercise 2.1** ★ (8 min). The side.", "task-1"),
        code(first, "answer-1", "○\n", "exercise"),
        text(SOLUTION, "solution-1"),
        *more,
        text("**Exercise 2.4** ★★ (10 min). Variety.", "task-2"),
        code(second, "answer-2", "○\n", "exercise"),
        text("Before.\n\n" + SOLUTION + "\n\nAfter.", "solution-2"),
    ]


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "course"
    write(root / "notebooks" / "02_sizes.ipynb", sizes())
    fine = [text("# 3 · Fine\n\n**Time**: 45 minutes to read.", "a"), code("print(1)", "b", "1\n")]
    write(root / "notebooks" / "03_fine.ipynb", fine)
    for name, content in {
        "notebooks/figures/badge.svg": "<svg/>",
        "notebooks/figures/unused.svg": "<svg/>",
        "README.md": "The course.",
        "benchmarks/README.md": "Tables.",
        "nbval.cfg": "[numbers]\nregex: 0x[0-9a-f]+\nreplace: ADDRESS\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.chdir(root)
    return root
