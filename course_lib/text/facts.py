"""What a prompt asks for, read off its words: for the verdict under a picture, and contradictions.

The encoder does not need this; it has learnt what words mean. But whoever wants to count whether a
painter obeyed must know what it was told: 红眼睛，蓝色长发 is {"hair_color": ["blue"],
"eye_color": ["red"], "back_hair": ["long"]}. It knows the words of `data/anime-face-words.json`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator

from course_lib import captions, faces

SIMPLIFIED = "红蓝绿银发长双马卷刘带张惊无浅系结缕肤脸领顶黄齐圆头乐侧动闭间闷镜连讶辫个麦着衬"
TRADITIONAL = "紅藍綠銀髮長雙馬捲劉帶張驚無淺繫結縷膚臉領頂黃齊圓頭樂側動閉間悶鏡連訝辮個麥著襯"

# The nouns that a colour belongs to.
NOUNS_EN = {
    "hair_color": r"hair(?:ed)?|bob|twintails|pigtails|ponytail|braids|(?:hair )?buns",
    "eye_color": r"eye(?:s|d)?",
    "ribbon_color": r"ribbon|bow",
    "clothes_color": r"hoodie|sweater|turtleneck",
    "background": r"background",
}
NOUNS_ZH = {
    "hair_color": "头发|发(?!卡|型)|双马尾|侧?马尾|波波头|麻花辫|丸子头",
    "eye_color": "眼睛|双眼|眼(?!镜)",
    "ribbon_color": "蝴蝶结",
    "clothes_color": "连帽衫|高领毛衣|毛衣",
    "background": "背景",
}
# What may stand between a colour and its noun.
BETWEEN_EN = r"(?:[ -](?:long|short|wavy|straight|side|big|round|sharp|droopy|sleepy))*[ -]"
BETWEEN_ZH = "色?的?(?:[长短直卷]|圆圆的|又大又圆的|上挑的|下垂的|困倦的|半闭的)*"


def facts_of(prompt: str) -> dict[str, list[str]]:
    """Attribute → the values that the prompt names, in the order of the known ones.

    "yes" among glasses' values stands for any kind. More than one value is a contradiction, but for
    what goes together. prompt: as `normalise` leaves it, or any text.
    """
    text = _simple(prompt)
    found = {name: _values(name, text) for name in captions.vocabulary()["attributes"]}
    return {name: values for name, values in found.items() if values}


def contradictions(prompt: str) -> dict[str, list[str]]:
    """Attribute → its values, where the prompt asks for several that no face can have at once."""
    return {name: values for name, values in facts_of(prompt).items() if len(values) > 1}


def normalise(prompt: str) -> str:
    """One form for signs of full and half width, and no white space around."""
    return unicodedata.normalize("NFKC", prompt).strip()


def _simple(prompt: str) -> str:
    return normalise(prompt).lower().translate(str.maketrans(TRADITIONAL, SIMPLIFIED))


def _values(name: str, text: str) -> list[str]:
    """Each place in the text belongs to the longest phrase there: "cat smile" is no "smile"."""
    taken: list[tuple[int, int]] = []
    values = []
    for phrase, value in _phrases(name):
        for found in phrase.finditer(text):
            if all(found.end() <= start or found.start() >= end for start, end in taken):
                taken.append(found.span())
                values.append(value)
    known = [*faces.attribute_values()[name], "yes"]
    specific = [value for value in values if value != "yes"]
    if name == "glasses":
        values = specific or values
    return sorted(set(values), key=known.index)


@functools.cache
def _phrases(name: str) -> list[tuple[re.Pattern, str]]:
    """The phrases for an attribute's values, long ones first, as patterns."""
    entries = captions.vocabulary()["attributes"][name]["values"]
    phrases = [
        (pattern, value)
        for value, entry in entries.items()
        for pattern in (*_english(name, entry["en"]), *_chinese(name, entry["zh"]))
    ]
    if name == "glasses":
        phrases += [(r"\bglasses\b", "yes"), ("眼镜", "yes")]
    phrases.sort(key=lambda one: -len(one[0]))
    return [(re.compile(pattern), value) for pattern, value in phrases]


def _english(name: str, words: list[str]) -> Iterator[str]:
    for word in words:
        if name in NOUNS_EN:
            noun = NOUNS_EN[name]
            yield rf"\b{word}{BETWEEN_EN}(?:{noun})\b"
            yield rf"\b(?:{noun}) (?:that )?(?:is|are) {word}\b"
        else:
            word = re.sub(r"^(an?|with|two|looking) ", "", word)
            yield rf"\b{word.replace('{} ', '(?:[a-z]+[ -])?(?:blue )?')}\b"


def _chinese(name: str, words: list[str]) -> Iterator[str]:
    for word in words:
        if name in NOUNS_ZH:
            yield f"{word}{BETWEEN_ZH}(?:{NOUNS_ZH[name]})"
        else:
            yield word.replace("{}", "(?:[深青]?.色?的?)?")
