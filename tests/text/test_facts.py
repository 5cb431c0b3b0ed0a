"""Prompts as facts: what is asked for, and what cannot be had at once."""

import random

import pytest

from course_lib import captions, faces, text
from course_lib.text.facts import contradictions, facts_of
from course_lib.text.learning import rephrased


@pytest.mark.parametrize("language", captions.LANGUAGES)
def test_facts_of_captions_are_those_they_were_made_of(language):
    rng = random.Random(3)
    for face in faces.load("held-out").attributes:
        facts, figure = captions.choose(face, rng, rng.choice((captions.INTEREST, text.EVENLY)))
        said = text.SAY[language](facts, figure[captions.LANGUAGES.index(language)], rng)
        said = rephrased(said, language, rng)
        assert facts_of(said) == {name: [value] for name, value in facts.items()}, said


@pytest.mark.parametrize(
    ("prompt", "facts"),
    [
        ("", {}),
        ("🙂 qwertz", {}),
        ("RED EYES", {"eye_color": ["red"]}),
        ("red-haired girl, eyes that are blue", {"hair_color": ["red"], "eye_color": ["blue"]}),
        ("紅眼睛，戴眼鏡", {"eye_color": ["red"], "glasses": ["yes"]}),
        ("红色的眼睛, long hair", {"eye_color": ["red"], "back_hair": ["long"]}),
        ("a cat smile", {"mouth": ["cat"]}),
        ("glasses, round glasses", {"glasses": ["round"]}),
    ],
)
def test_facts_of_what_people_write(prompt, facts):
    assert facts_of(prompt) == facts


@pytest.mark.parametrize(
    ("prompt", "several"),
    [
        ("red eyes, blue eyes", {"eye_color": ["red", "blue"]}),
        ("a girl with red hair and 蓝眼睛", {}),
        ("微笑，闷闷不乐", {"mouth": ["smile", "frown"]}),
        ("red hair, 绿头发, red eyes", {"hair_color": ["red", "green"]}),
    ],
)
def test_contradictions_are_named(prompt, several):
    assert contradictions(prompt) == several
    assert text.load().understand(prompt).contradictions == several


def test_no_true_caption_contradicts_itself():
    for split in ("train", "held-out"):
        known = faces.load(split)[:300]
        for said in (*known.captions_en, *known.captions_zh):
            assert not contradictions(said), said
