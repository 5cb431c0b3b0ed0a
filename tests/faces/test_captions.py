"""Captions are true, natural, varied, and say the same in both languages."""

import random
import re

import pytest

from course_lib import faces
from course_lib.captions import (
    DETAILED,
    FACTS_PER_CAPTION,
    Caption,
    caption,
    captions,
    choose_facts,
    describe,
    describe_in,
    in_english,
)

FACE = {
    "hair_color": "orange",
    "eye_color": "red",
    "back_hair": "bob",
    "eye_shape": "round",
    "mouth": "smile",
    "glasses": "round",
    "ribbon": "no",
    "ribbon_color": "hidden",
}

# What colour words mean, written down a second time: the test does not read the words file.
ENGLISH_COLOURS = {
    "black": "black", "brown": "brown", "blonde": "blonde", "golden": "blonde", "orange": "orange",
    "red": "red", "pink": "pink", "purple": "purple", "violet": "purple", "navy blue": "navy",
    "blue": "blue", "aqua": "aqua", "turquoise": "aqua", "green": "green", "silver": "silver",
    "white": "white", "yellow": "yellow", "gray": "gray",
}  # fmt: skip
CHINESE_COLOURS = {
    "黑": "black", "棕": "brown", "褐": "brown", "金": "blonde", "橙": "orange", "红": "red",
    "粉": "pink", "紫": "purple", "深蓝": "navy", "蓝": "blue", "青绿": "aqua", "青": "aqua",
    "绿": "green", "银": "silver", "白": "white", "黄": "yellow", "灰": "gray",
}  # fmt: skip
ENGLISH_THINGS = {
    "hair_color": "hair|haired|bob|twintails|pigtails|ponytail|braids|buns",
    "eye_color": "eyes|eyed",
    "ribbon_color": "ribbon|bow",
    "clothes_color": "sweater|turtleneck|hoodie",
    "background": "background",
    "skin": "skin",
    "glasses": "glasses",  # always red, where they have a colour
    "clothes": "shirt",  # always white
}
CHINESE_THINGS = {
    "hair_color": "发|马尾|麻花辫|波波头|丸子头",
    "eye_color": "眼睛",
    "ribbon_color": "蝴蝶结",
    "clothes_color": "毛衣|连帽衫",
    "background": "背景",
    "skin": "皮肤",
    "glasses": "眼镜",
    "clothes": "衬衫",
}


def colours_of(text: str, colours: dict, things: dict, phrase_end: str) -> dict[str, str]:
    """Which colour the text gives to which thing; every colour word must belong to one thing."""
    found = {}
    for phrase in re.split(phrase_end, text):
        words = "|".join(sorted(colours, key=len, reverse=True))
        for colour in re.finditer(rf"(?<![a-z])(?:{words})", phrase):
            after = phrase[colour.end() :]
            near = [(re.search(thing, after), name) for name, thing in things.items()]
            near = [(match.start(), name) for match, name in near if match]
            assert near, f"{colour.group()} belongs to nothing in {text}"
            found[min(near)[1]] = colours[colour.group()]
    return found


def english_colours(text: str) -> dict[str, str]:
    # "a red-eyed silver-haired girl": the first thing after the colour is its own.
    return colours_of(text, ENGLISH_COLOURS, ENGLISH_THINGS, ", | and | with | on | wearing ")


def chinese_colours(text: str) -> dict[str, str]:
    no_colours = re.sub("白皙|脸红", "", text)
    return colours_of(no_colours, CHINESE_COLOURS, CHINESE_THINGS, "，|、|和")


@pytest.fixture(scope="module")
def known() -> list[dict[str, str]]:
    return faces.load("all").attributes


@pytest.fixture(scope="module")
def described(known) -> list[tuple[dict[str, str], Caption]]:
    """Two captions for each of 6,000 faces."""
    rng = random.Random(0)
    return [(face, describe(face, rng)) for face in known for _ in range(2)]


def test_every_colour_is_true_in_both_languages(described):
    for face, said in described:
        english, chinese = english_colours(said.en), chinese_colours(said.zh)
        for name, colour in (english | chinese).items():
            if name in ("glasses", "clothes", "skin"):
                wanted = {"glasses": "square", "clothes": "shirt", "skin": "brown"}[name]
                assert face[name] == wanted, (face, said)
            else:
                colour = "yellow" if name == "eye_color" and colour == "blonde" else colour
                assert colour == face[name], (face, said)
        for optional in ("glasses", "clothes", "skin"):  # "dark skin" needs no colour word
            english.pop(optional, None), chinese.pop(optional, None)
        assert english == chinese, (face, said)
        coloured = {name for name in said.facts if name.endswith("_color") or name == "background"}
        assert set(english) == coloured, (face, said)


@pytest.mark.parametrize(
    ("name", "values", "english", "chinese"),
    [
        ("eye_shape", {"closed"}, "(?<!half-)closed eyes", "闭着眼睛|闭着双眼"),
        ("eye_shape", {"wink"}, "winking", "一只眼"),
        ("eye_shape", {"sleepy"}, "sleepy|half-closed", "困倦|半闭"),
        ("glasses", {"round", "square"}, "glasses", "眼镜"),
        ("ribbon", {"yes"}, r"ribbon|\bbow\b", "蝴蝶结"),
        ("cat_ears", {"yes"}, "cat ears", "猫耳"),
        ("blush", {"yes"}, "blushing", "脸红"),
        ("mouth", {"smile"}, "smiling|a smile", "(?<!般的)微笑"),
        ("mouth", {"cat"}, "cat smile", "猫咪般的微笑"),
        ("mouth", {"open"}, "laughing|open mouth", "大笑|张着嘴"),
        ("back_hair", {"twintails"}, "twintails|pigtails", "双马尾"),
        ("back_hair", {"ponytail"}, "ponytail", "(?<!双)马尾"),
        ("back_hair", {"braids"}, "braids", "麻花辫"),
        ("back_hair", {"buns"}, "buns", "丸子头"),
        ("back_hair", {"bob"}, r"\bbob\b", "波波头"),
        ("back_hair", {"short"}, "short hair|short .* hair", "短发"),
        ("clothes", {"hoodie"}, "hoodie", "连帽衫"),
        ("clothes", {"sailor"}, "sailor", "水手服"),
    ],
)
def test_every_thing_is_true_in_both_languages(described, name, values, english, chinese):
    named = 0
    for face, said in described:
        assert bool(re.search(english, said.en)) == bool(re.search(chinese, said.zh)), (face, said)
        if re.search(english, said.en):
            named += 1
            assert face[name] in values, (face, said)
    assert named > 100


def test_captions_fit_their_own_face_and_not_every_other(described):
    assert all(said.fits(face) for face, said in described)
    shifted = zip(described, described[7:], strict=False)
    assert sum(said.fits(other) for (_, said), (other, _) in shifted) < len(described) / 3


def test_glasses_of_any_kind_fit_both_kinds():
    said = Caption("glasses", "戴眼镜", {"glasses": "yes"})
    assert said.fits({"glasses": "round"})
    assert said.fits({"glasses": "square"})
    assert not said.fits({"glasses": "no"})


def test_the_colour_of_closed_eyes_is_never_named(described):
    closed = [said for face, said in described if face["eye_shape"] == "closed"]
    assert len(closed) > 500
    assert not any("eye_color" in said.facts or re.search("-eyed", said.en) for said in closed)


def test_a_detailed_caption_says_much():
    face = faces.load("held-out").attributes[1]
    numbers = [len(choose_facts(face, random.Random(i), numbers=DETAILED)) for i in range(200)]
    assert min(numbers) >= min(DETAILED)
    assert sum(numbers) / len(numbers) > 5


def test_captions_are_varied_and_mostly_partial(described):
    said = [said for _, said in described]
    facts = [len(one.facts) for one in said]
    assert min(facts) == 1
    assert max(facts) >= max(FACTS_PER_CAPTION)
    assert 0.1 < facts.count(1) / len(facts) < 0.3
    assert len({one.en for one in said}) > 8000
    assert len({one.zh for one in said}) > 8000
    neutral = sum(bool(re.search("character|avatar|person", one.en)) for one in said) / len(said)
    assert 0.4 < neutral < 0.6
    assert {"red eyes", "blue hair", "glasses", "cat ears"} <= {one.en for one in said}
    assert {"红眼睛", "蓝发", "戴眼镜", "猫耳"} <= {one.zh for one in said}


def test_grammar(described):
    for _, said in described:
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]|\{|\}|  | ,|,,|with with|,$", said.en), said
        assert not re.search(r"[a-zA-Z{}\s]|色色|的的|着着|，，|，$|^，", said.zh), said
        assert said.en == said.en.strip()


@pytest.mark.parametrize(
    ("facts", "figure", "sentence"),
    [
        ({"hair_color": "orange", "back_hair": "bob"}, "avatar", "an avatar with an orange bob"),
        ({"mouth": "smile", "glasses": "yes"}, "girl", "a smiling girl wearing glasses"),
        ({"eye_shape": "closed"}, "person", "a person with closed eyes"),
        ({"background": "navy"}, "avatar", "an avatar on a navy blue background"),
        ({"eye_color": "red"}, None, "red eyes"),
    ],
)
def test_english_sentences(facts, figure, sentence):
    assert sentence in {in_english(facts, figure, random.Random(i)) for i in range(40)}


def test_caption_is_deterministic_and_equal_in_content():
    english, again = (caption(FACE, random.Random(5)) for _ in range(2))
    assert english == again
    for seed in range(200):
        said = describe(FACE, random.Random(seed))
        assert caption(FACE, random.Random(seed), "en") == said.en
        assert caption(FACE, random.Random(seed), "zh") == said.zh


def test_one_language_alone_is_as_true(known):
    for i, face in enumerate(known[:300]):
        text, facts = describe_in("zh", face, random.Random(i))
        assert Caption("", text, facts).fits(face)
        assert not text.isascii()
        both = describe(face, random.Random(i))
        assert describe_in("en", face, random.Random(i)) == (both.en, both.facts)
        assert facts == both.facts


def test_many_different_captions_of_one_face():
    many = captions(FACE, 50)
    assert len({said.en for said in many}) == len(many) == 50
    assert many == captions(FACE, 50)
    assert many != captions(FACE, 50, seed=1)
    assert captions(FACE, 5) == many[:5]
    assert len(captions({"cat_ears": "yes"}, 1000)) < 30  # there is not more to say


def test_unknown_language():
    with pytest.raises(ValueError, match=r"unknown language 'fr'.*en, zh"):
        caption(FACE, random.Random(0), "fr")
