"""What was asked for, and whether it is there: a line for each fact of a prompt."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor

from course_lib import judge
from course_lib.text.encoder import TextEncoder, Understanding, vocabulary
from course_lib.text.facts import facts_of


def verdicts(images: Tensor, prompt: str) -> list[dict[str, bool]]:
    """Of each image: what the prompt asks for, in words, and whether the judge sees it.

    Where a prompt asks for several values of an attribute, one of them is enough.
    """
    asked = facts_of(prompt)
    seen = judge.read(images.clamp(-1, 1)).names
    return [
        {_words(name, asked[name]): _is_so(asked[name], one[name]) for name in asked}
        for one in seen
    ]


def _is_so(values: Sequence[str], seen: str) -> bool:
    return any(judge.is_so(value, seen) for value in values)


def _words(name: str, values: Sequence[str]) -> str:
    """Such as "eye color: red"; only "glasses" where any will do."""
    value = " or ".join(values)
    return name.replace("_", " ") if value == "yes" else f"{name.replace('_', ' ')}: {value}"


def remarks(found: Understanding) -> list[str]:
    """What a person should know about how a prompt is understood; often nothing."""
    lines = []
    if found.nothing:
        lines.append("Nothing is asked for: any face will do.")
    if found.unknown:
        lines.append(_unknown(dict.fromkeys(found.unknown)))
    if found.denials:
        words = ", ".join(dict.fromkeys(found.denials))
        lines.append(f"It has learnt no denials: what follows “{words}” is painted all the same.")
    for name, values in found.contradictions.items():
        which = " and ".join(values)
        lines.append(f"The {name.replace('_', ' ')} cannot be {which} at once; either counts.")
    if found.cut:
        lines.append(f"The prompt is too long; left out: {found.cut[:60]}")
    return lines


class UnknownWords(UserWarning):
    """A prompt holds words that the painter has never met."""


def warn_of_unknown(encoder: TextEncoder, prompts: Sequence[str]) -> None:
    """Warn (`UnknownWords`) of words that say nothing to the encoder: a painter passes over them.

    For a function that is called by the one whom it concerns.
    """
    if words := encoder.unknown_words(prompts):
        warnings.warn(_unknown(words), UnknownWords, stacklevel=3)


@contextmanager
def told_already() -> Iterator[None]:
    """No warnings of unknown words: who asked reads `remarks` on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownWords)
        yield


def _unknown(words: Iterable[str]) -> str:
    return f"Unknown words, which say nothing to it: {', '.join(map(_with_a_guess, words))[:200]}"


def _with_a_guess(word: str) -> str:
    """An unknown word, and the known one that may have been meant: "grey (gray?)"."""
    said = word.lower()
    known = [one for one in vocabulary() if len(one) > 2 and one[0] == said[0]]
    near = difflib.get_close_matches(said, known, n=1, cutoff=0.75)
    return f"{word[:30]} ({near[0]}?)" if near else word[:30]


def summary(verdict: Mapping[str, bool]) -> str:
    """One line for a terminal: "✓ eye color: red, ✗ glasses"."""
    return ", ".join(f"{'✓' if so else '✗'} {words}" for words, so in verdict.items())
