"""From a sentence to vectors: the tokenizer and the text model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn

from course_lib import captions
from course_lib.text.facts import TRADITIONAL, contradictions, normalise
from course_lib.text.tower import TextTower

LENGTH = 64  # tokens of a prompt at most, the first and the last included
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD = 0  # [PAD]'s number: what fills up the shorter rows
# What holds a caption together, and what people use besides.
GRAMMAR_EN = "a an and are background eyed eyes hair haired has is of on that the wearing with"
GRAMMAR_ZH = "一个人有和的是在发头眼睛色背景戴着穿"
SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789,.!?;:-'\"()，。、！？；：（）"
# What denies something: no caption has any, so what is denied would be painted all the same.
DENIALS = re.compile(r"\b(?:no|not|without|never|\w+n['’]t)\b|不(?!乐|樂)|没|沒|非|[无無](?!表情)")


def vocabulary() -> list[str]:
    """All that captions are made of: English words and Chinese characters, with the special tokens.

    Of Chinese the traditional characters too, of English the letters: what else is written is not
    known, and becomes [UNK].
    """
    entries = captions.vocabulary()["attributes"].values()
    values = [value for entry in entries for value in entry["values"].values()]
    said = [text for value in values for text in value["en"] + value["zh"]]
    said += [text for figure in captions.FIGURES if figure for text in figure]
    said += [GRAMMAR_EN, GRAMMAR_ZH, TRADITIONAL, *SIGNS, "glasses", "眼镜"]
    words = {piece for text in said for piece in re.findall(r"[a-z]+|[^\s{}]", text.lower())}
    return [*SPECIAL, *sorted(words)]


def fillers() -> set[str]:
    """The words and characters that ask for nothing: "a girl", 一个女孩."""
    figures = [text for figure in captions.FIGURES if figure for text in figure]
    english = " ".join([GRAMMAR_EN, "face", *(text for text in figures if text.isascii())])
    chinese = "".join([GRAMMAR_ZH, *(text for text in figures if not text.isascii())])
    return {*SPECIAL, *english.split(), *chinese, *SIGNS}


class Thoughts(NamedTuple):
    """What the text model makes of B prompts of T tokens.

    vector: (B, W), the thought vector of each: the state of its last token, projected.
    states: (B, T, W), a vector for each token. mask: (B, T), 1 where there is a token.
    """

    vector: Tensor
    states: Tensor
    mask: Tensor

    def mean(self) -> Tensor:
        """The mean of the tokens' states, (B, W)."""
        mask = self.mask[..., None]
        return (self.states * mask).sum(1) / mask.sum(1)


class TextEncoder(nn.Module):
    """A small CLIP text model (Radford et al. 2021, arXiv 2103.00020) with BERT's tokenizer.

    words: the tokens, the special ones first; `vocabulary()` by default. width: numbers in a
    vector. Each token sees those before it; the last, [SEP], has seen them all.
    """

    def __init__(
        self,
        words: Sequence[str] | None = None,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
    ):
        super().__init__()
        self.words = list(words or vocabulary())
        ids = {word: i for i, word in enumerate(self.words)}
        self.tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))  # as BERT's
        self.tokenizer.normalizer = normalizers.BertNormalizer()
        self.tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self.start, self.end, self.unknown = (ids[word] for word in ("[CLS]", "[SEP]", "[UNK]"))
        self.asks_nothing = {ids[word] for word in fillers() if word in ids}
        self.clip = TextTower(len(ids), LENGTH, width, layers, heads)
        self.projection = nn.Linear(width, width, bias=False)

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Prompts as numbers of tokens, int64 (B, T), filled up with [PAD]; too long ones cut.

        Unknown words are left out: no caption had any, so nothing was learnt about them.
        """
        texts = [normalise(prompt) for prompt in prompts]
        found = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        known = [[token for token in one.ids if token != self.unknown] for one in found]
        rows = [[self.start, *row[: LENGTH - 2], self.end] for row in known]
        longest = max(map(len, rows), default=0)
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], dtype=torch.long)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """The words of all prompts that are no words to it, each once, in their order.

        Of thousands of prompts, many times as fast as `understand` of each.
        """
        texts = [normalise(prompt) for prompt in dict.fromkeys(prompts)]
        found = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        places = [
            (text, place)
            for text, one in zip(texts, found, strict=True)
            for token, place in zip(one.ids, one.offsets, strict=True)
            if token == self.unknown
        ]
        return list(dict.fromkeys(text[start:end] for text, (start, end) in places))

    def says_nothing(self, prompts: Sequence[str]) -> list[bool]:
        """Of which prompts no word asks for anything that can be seen, such as "a girl"."""
        return [self.asks_nothing.issuperset(row) for row in self.tokens(prompts).tolist()]

    def forward(self, tokens: Tensor) -> Thoughts:
        """Tokens (B, T) on the encoder's device → their thoughts."""
        states = self.clip(tokens)
        last = (tokens == self.end).int().argmax(1)  # where each sentence ends
        vector = self.projection(states[torch.arange(len(tokens), device=tokens.device), last])
        return Thoughts(vector, states, (tokens != PAD).long())

    @torch.no_grad()
    def think(self, prompts: str | Sequence[str]) -> Thoughts:
        """The thoughts of one prompt or of several, without gradients.

        Says of a prompt that is cut, in a warning, where. TypeError for what is no text.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        for prompt in prompts:
            if cut := self.understand(prompt).cut:
                warnings.warn(f"the prompt is too long; left out: {cut[:60]!r}", stacklevel=3)
        return self(self.tokens(prompts).to(self.projection.weight.device))

    def understand(self, prompt: str) -> Understanding:
        """Which words of the prompt are known, which are beyond its length, what contradicts."""
        if not isinstance(prompt, str):
            raise TypeError(f"a prompt is a text, not {type(prompt).__name__}")
        text = normalise(prompt)
        whole = self.tokenizer.encode(text, add_special_tokens=False)
        places = list(zip(whole.ids, whole.offsets, strict=True))
        known = [place for token, place in places if token != self.unknown]
        most = known[LENGTH - 2][0] if len(known) > LENGTH - 2 else len(text)
        unknown = [(i, j) for token, (i, j) in places if token == self.unknown and i < most]
        return Understanding(
            text,
            [text[start:end] for start, end in known[: LENGTH - 2]],
            [text[start:end] for start, end in unknown],
            text[most:],
            contradictions(text),
            self.says_nothing([prompt])[0],
            [found[0] for found in DENIALS.finditer(text[:most].lower())],
        )


@dataclass(frozen=True)
class Understanding:
    """What of a prompt reaches the encoder.

    text: the prompt as it is read. known, unknown: its words, in order. cut: what is too much.
    contradictions: attribute → values of which no face can have more than one at once.
    nothing: no word asks for anything. denials: words such as "no", which it does not understand.
    """

    text: str
    known: list[str]
    unknown: list[str]
    cut: str
    contradictions: dict[str, list[str]]
    nothing: bool
    denials: list[str]
