"""What a face is called: captions in English and Chinese, made from the attributes of its drawing.

A caption names some of what can be seen ("red eyes" is one) and nothing else. First the facts are
chosen, then both languages say them. The words are in `data/anime-face-words.json`, the grammar is
here.
"""

import functools
import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from course_lib import settings
from course_lib.errors import CourseError

NOT_DRAWN = "no"  # the value of an attribute whose part is not in the drawing
HIDDEN = "hidden"  # the value of one that cannot be seen, such as the colour of closed eyes
LANGUAGES = ("en", "zh")

FACTS_PER_CAPTION = {1: 20, 2: 28, 3: 25, 4: 15, 5: 8, 6: 4}  # number of facts: percent
DETAILED = {4: 30, 5: 35, 6: 35}  # the same for captions that say much
# How often an attribute is named, next to 1 for those that are not here.
INTEREST = {
    "hair_color": 6,
    "eye_color": 6,
    "back_hair": 5,
    "glasses": 4,
    "cat_ears": 4,
    "mouth": 3,
    "ribbon": 2,
    "eye_shape": 2,
}
COLOUR_OF = {"ribbon_color": "ribbon", "clothes_color": "clothes"}  # said with its thing

# Who is described, in percent. Neutral words mostly: the drawings do not say who they are.
# None is a mere list of what is seen: "long blue hair, red eyes".
FIGURES = {
    None: 36,
    ("character", "角色"): 16,
    ("anime character", "动漫角色"): 12,
    ("avatar", "头像"): 10,
    ("anime avatar", "动漫头像"): 8,
    ("person", "人物"): 6,
    ("girl", "女孩"): 12,
}


class Caption(NamedTuple):
    """One description of a face: the same facts in both languages.

    facts: the attributes that it names; "yes" for any kind: "glasses", not "round glasses".
    """

    en: str
    zh: str
    facts: dict[str, str]

    def fits(self, attributes: dict[str, str]) -> bool:
        """Whether everything it says is so in a face with these attributes."""
        return all(
            attributes[name] not in (NOT_DRAWN, HIDDEN)
            if value == "yes"
            else attributes[name] == value
            for name, value in self.facts.items()
        )


def caption(attributes: dict[str, str], rng: random.Random, language: str = "en") -> str:
    """A natural, partial description of a face in "en" or "zh".

    From equal states of `rng` both languages name the same facts. CourseError for an unknown
    language.
    """
    if language not in LANGUAGES:
        raise CourseError(f"unknown language {language!r}; known are: {', '.join(LANGUAGES)}")
    return getattr(describe(attributes, rng), language)


def captions(attributes: dict[str, str], n: int, seed: int = 0) -> list[Caption]:
    """n captions of one face, different in English; fewer only if no more were found."""
    rng = random.Random(f"{seed} captions")
    found: dict[str, Caption] = {}
    for _ in range(50 * n):
        if len(found) == n:
            break
        new = describe(attributes, rng)
        found.setdefault(new.en, new)
    return list(found.values())


def describe(attributes: dict[str, str], rng: random.Random) -> Caption:
    """Choose facts and a word for the figure; then say them in both languages."""
    facts, (english, chinese) = choose(attributes, rng)
    return Caption(in_english(facts, english, rng), in_chinese(facts, chinese, rng), facts)


def describe_in(
    language: str, attributes: dict[str, str], rng: random.Random
) -> tuple[str, dict[str, str]]:
    """A description in "en" or "zh" only, which takes less time, and the facts that it names."""
    facts, figure = choose(attributes, rng)
    say = {"en": in_english, "zh": in_chinese}[language]
    return say(facts, figure[LANGUAGES.index(language)], rng), facts


def choose(
    attributes: dict[str, str],
    rng: random.Random,
    interest: Mapping[str, float] = INTEREST,
    numbers: Mapping[int, float] = FACTS_PER_CAPTION,
) -> tuple[dict[str, str], tuple]:
    """Facts, and the word for the figure in both languages, or None twice."""
    facts = choose_facts(attributes, rng, interest, numbers)
    return facts, rng.choices(list(FIGURES), list(FIGURES.values()))[0] or (None, None)


def choose_facts(
    attributes: dict[str, str],
    rng: random.Random,
    interest: Mapping[str, float] = INTEREST,
    numbers: Mapping[int, float] = FACTS_PER_CAPTION,
) -> dict[str, str]:
    """One to six attributes that can be seen and have a name, in the order of `attributes`.

    interest: how often an attribute is named, next to 1 for those that are not in it. Weighted
    sampling without replacement by Efraimidis and Spirakis 2006: the largest luck ** (1 / weight)
    win. numbers: of facts, with weights.
    """
    visible = [name for name, value in attributes.items() if _words(name, value, "en")]
    luck = {name: rng.random() ** (1 / interest.get(name, 1)) for name in visible}
    number = rng.choices(list(numbers), list(numbers.values()))[0]
    chosen = set(sorted(visible, key=luck.__getitem__, reverse=True)[:number])
    chosen |= {COLOUR_OF[name] for name in chosen if name in COLOUR_OF}
    facts = {name: attributes[name] for name in visible if name in chosen}
    if "glasses" in facts and rng.random() < 0.5:
        facts["glasses"] = "yes"
    return facts


# --- English --------------------------------------------------------------------------------------
def in_english(facts: dict[str, str], figure: str | None, rng: random.Random) -> str:
    """Say "red eyes, glasses", or with a figure "a smiling girl with red eyes, wearing glasses"."""
    phrases = _english_phrases(facts, rng, compounds=figure is not None)
    if figure is None:
        return ", ".join(_shuffled([phrase for place in phrases.values() for phrase in place], rng))

    participles, compounds = phrases["is"], phrases["kind"]
    sentence = _a(" ".join([*participles[:1], *compounds, figure]))
    if phrases["has"]:
        sentence += " with " + _and(phrases["has"])
    tails = [_and(participles[1:] + phrases["looks"])] if participles[1:] + phrases["looks"] else []
    if phrases["wears"]:
        tails.append("wearing " + _and(phrases["wears"]))
    if tails:
        sentence += (", " if phrases["has"] or tails[1:] else " ") + ", ".join(tails)
    if phrases["behind"]:
        sentence += (", on " if "," in sentence else " on ") + _a(phrases["behind"][0])
    return sentence


def _english_phrases(
    facts: dict[str, str], rng: random.Random, compounds: bool
) -> dict[str, list[str]]:
    """The phrases by their place in the sentence.

    It is smiling, of the red-eyed kind, has long hair, looks sad, wears a hoodie; behind it is a
    background.
    """
    word = {name: rng.choice(_words(name, value, "en")) for name, value in facts.items()}
    phrases = defaultdict(list)
    for part, style, colour in (
        ("hair", "back_hair", "hair_color"),
        ("eyes", "eye_shape", "eye_color"),
    ):
        if "{}" in word.get(style, ""):
            phrases["has"].append(_fill(word.pop(style), word.pop(colour, "")))
        elif colour in word and compounds and rng.random() < 0.3:
            phrases["kind"].append(f"{word.pop(colour)}-{'haired' if part == 'hair' else 'eyed'}")
        elif colour in word:
            phrases["has"].append(f"{word.pop(colour)} {part}")
    for colour, thing in COLOUR_OF.items():
        if thing in word:
            word[thing] = _fill(word[thing], word.pop(colour, ""))
    if "background" in word:
        phrases["behind"].append(word.pop("background") + " background")
    for name, phrase in word.items():
        phrases[_english_place(name, phrase, rng)].append(phrase.removeprefix("with "))
    return phrases


def _english_place(name: str, phrase: str, rng: random.Random) -> str:
    if name == "clothes" or (name in ("glasses", "ribbon") and rng.random() < 0.5):
        return "wears"
    if phrase.startswith("looking "):
        return "looks"
    return "is" if name in ("mouth", "blush", "eye_shape") and " " not in phrase else "has"


def _a(phrase: str) -> str:
    """The article: "a girl", "an avatar", "a uniform"."""
    return ("an " if re.match(r"[aeio]|u(?!ni)", phrase) else "a ") + phrase


def _and(phrases: list[str]) -> str:
    """Join as in "red eyes, cat ears and a ribbon"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if phrases[1:] else phrases)


# --- Chinese --------------------------------------------------------------------------------------
SHORT_COLOURS = "黑棕金橙红粉紫蓝绿银白灰黄"  # those that go without 色: 红发, 红眼睛
CHINESE_VERBS = {"glasses": "戴", "ribbon": "戴", "clothes": "穿"}


def in_chinese(facts: dict[str, str], figure: str | None, rng: random.Random) -> str:
    """Without a figure 红眼睛，戴眼镜; with one 一个微笑的女孩，红眼睛 or 红眼睛的女孩，微笑着."""
    things, doings, behind = _chinese_phrases(facts, rng)
    if figure is None:
        return "，".join(_shuffled(things + doings + behind, rng))

    if doings and (not things or rng.random() < 0.5):
        before = doings.pop(0) + "的"
    elif things:
        number = min(len(things), rng.choice((1, 2, 2)))
        before = _chinese_attribute(things[:number], rng)
        del things[:number]
    else:
        before = ""
    first = rng.choice(("", "一个")) + before + figure
    return "，".join([first, *things, *doings, *behind])


def _chinese_attribute(things: list[str], rng: random.Random) -> str:
    """What stands before the figure: 蓝色长发、红眼睛的 or 有着蓝色长发和红眼睛的."""
    things = [thing.replace("色的", "色") for thing in things]  # one 的 is enough
    if "的" in "".join(things) or rng.random() < 0.4:
        return "有着" + "和".join(things) + "的"
    return "、".join(things) + "的"


def _chinese_phrases(
    facts: dict[str, str], rng: random.Random
) -> tuple[list[str], list[str], list[str]]:
    """Things (红眼睛), doings (微笑, 戴眼镜) and the background."""
    word = {name: rng.choice(_words(name, value, "zh")) for name, value in facts.items()}
    things, doings = [], []
    for style, colour, short, long in (
        ("back_hair", "hair_color", "发", "头发"),
        ("eye_shape", "eye_color", "眼睛", "眼睛"),
    ):
        if "{}" in word.get(style, ""):
            things.append(_fill(word.pop(style), _se(word.pop(colour, ""))))
        elif colour in word:
            name = word.pop(colour)
            brief = name in SHORT_COLOURS and rng.random() < 0.6
            things.append(name + short if brief else _se(name) + rng.choice(("", "的")) + long)
    for colour, thing in COLOUR_OF.items():
        if thing in word:
            word[thing] = _fill(word[thing], _se(word.pop(colour, "")))
    behind = [_se(word.pop("background")) + "背景"] if "background" in word else []
    for name, phrase in word.items():
        if name in CHINESE_VERBS:
            doings.append(CHINESE_VERBS[name] + rng.choice(("", "着")) + phrase)
        else:
            (doings if name in ("mouth", "blush", "eye_shape") else things).append(phrase)
    return things, doings, behind


def _se(colour: str) -> str:
    return colour if not colour or colour.endswith("色") else colour + "色"


# --- words ----------------------------------------------------------------------------------------
@functools.cache
def vocabulary() -> dict:
    """The words file: each attribute's source in the drawing, and what its values are called."""
    path = settings.data_dir() / "anime-face-words.json"
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def _words(name: str, value: str, language: str) -> list[str]:
    """What a value is called; nothing for what cannot be seen or has no name."""
    if name == "glasses" and value == "yes":
        return {"en": ["glasses"], "zh": ["眼镜"]}[language]
    entry = vocabulary()["attributes"].get(name, {"values": {}})["values"].get(value)
    return entry[language] if entry else []


def _fill(phrase: str, colour: str) -> str:
    """Put a colour, or nothing, into the slot and set the article right: "an orange bob"."""
    filled = " ".join(phrase.replace("{}", colour).split())
    article, _, rest = filled.partition(" ")
    return _a(rest) if article in ("a", "an") else filled


def _shuffled(items: list[str], rng: random.Random) -> list[str]:
    return rng.sample(items, len(items))
