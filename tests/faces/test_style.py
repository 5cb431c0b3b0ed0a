"""The face style: the committed JSON is what the script draws and the captions speak of."""

import json
import runpy
from pathlib import Path

import pytest
from dicebear import Avatar, Style

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(DATA / "build_style.py"))


@pytest.fixture(scope="module")
def words() -> dict:
    return json.loads((DATA / "anime-face-words.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def definition() -> dict:
    return json.loads((DATA / "anime-face.json").read_text(encoding="utf-8"))


def test_committed_files_are_what_the_script_writes(script, words, definition):
    assert script["style"]() == definition
    assert script["words"]() == words


def test_every_choice_of_the_style_has_words_and_the_other_way_round(words, definition):
    named = {"components": {}, "colors": {}}
    for attribute in words["attributes"].values():
        ((kind, name),) = attribute["source"].items()
        keys = {value["key"] for value in attribute["values"].values()} - {None}
        named["colors" if kind == "color" else "components"][name] = keys
    for name, keys in named["colors"].items():
        assert keys == set(definition["colors"][name]["values"]), name
    for name, keys in named["components"].items():
        assert keys == set(definition["components"][name]["variants"]), name


@pytest.mark.parametrize(
    ("attribute", "at_least"),
    [
        ("hair_color", 12),
        ("eye_color", 10),
        ("back_hair", 6),
        ("fringe", 5),
        ("eye_shape", 4),
        ("mouth", 5),
        ("skin", 4),
        ("background", 6),
    ],
)
def test_there_is_enough_to_choose_from(words, attribute, at_least):
    assert len(words["attributes"][attribute]["values"]) >= at_least


def test_every_variant_draws(definition):
    style = Style(definition)
    for name, component in definition["components"].items():
        drawn = set()
        for variant in component["variants"]:
            options = {"seed": "x", f"{name}Variant": variant, f"{name}Probability": 100}
            drawn.add(Avatar(style, options).to_string())
        assert len(drawn) == len(component["variants"]), name
