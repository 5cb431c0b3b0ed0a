"""The sheet of verdicts: pictures, questions, and how sure the sums of the answers are."""

import io
import re

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from course_lib import faces, widgets
from course_lib.errors import CourseError

CAT, NIGHT = "戴帽子的猫 (a cat in a hat)", "starry night"
HAT, SWORD = "it wears a hat", "it holds a <sword>"


@pytest.fixture(scope="module")
def known() -> faces.Faces:
    return faces.load("held-out")[:6]


@pytest.fixture
def sheet(known):
    wide = Image.fromarray(known.images[0]).resize((800, 400))
    return widgets.VerdictSheet(
        [known.images[:4], [wide, wide.convert("L")]],
        [[HAT, SWORD], ["stars"]],
        [CAT, NIGHT],
        article={CAT: "Puss in Boots & others"},
    )


def answer(sheet, prompt, criterion, *answers):
    for mark, so in zip(sheet.marks[prompt][criterion], answers, strict=True):
        mark.value = so


def rows(sheet, prompt) -> list[list[str]]:
    """The tally's cells, without their tags."""
    found = re.findall(r"<tr>(.*?)</tr>", sheet.tally[prompt].value)
    cells = [re.findall(r"<td.*?>(.*?)</td>", row) for row in found]
    return [[re.sub("<.*?>", "", cell) for cell in row] for row in cells]


def test_nothing_is_said_at_first(sheet):
    assert sheet.scores() == {
        CAT: {HAT: [None] * 4, SWORD: [None] * 4},
        NIGHT: {"stars": [None] * 2},
    }
    assert rows(sheet, NIGHT) == [["stars", "–", "–"], ["all of these", "–", "–"]]
    assert "8 answers are still missing" in sheet.tally[CAT].value


def test_the_tally_tells_how_sure_it_is(sheet):
    answer(sheet, CAT, HAT, True, True, False, False)
    assert rows(sheet, CAT)[0] == [HAT, "2 of 4", "50 % (15–85 %)"]
    assert rows(sheet, CAT)[2] == ["all of these", "–", "–"]  # no picture is scored fully
    answer(sheet, CAT, SWORD, True, False, None, None)
    assert rows(sheet, CAT)[1:] == [
        ["it holds a &lt;sword&gt;", "1 of 2", "50 % (9–91 %)"],
        ["all of these", "1 of 2", "50 % (9–91 %)"],
    ]
    assert "2 answers are still missing" in sheet.tally[CAT].value
    answer(sheet, CAT, SWORD, True, False, True, False)
    assert rows(sheet, CAT)[2] == ["all of these", "1 of 4", "25 % (5–70 %)"]
    assert "missing" not in sheet.tally[CAT].value
    assert rows(sheet, NIGHT)[0] == ["stars", "–", "–"]  # the other prompt's is its own
    assert sheet.error.value == ""


def test_scores_survive_being_shown_twice(sheet):
    answer(sheet, CAT, HAT, True, False, True, True)
    first, _ = DisplayFormatter().format(sheet)
    second, _ = DisplayFormatter().format(sheet)
    assert sheet.scores()[CAT][HAT] == [True, False, True, True]
    view = "application/vnd.jupyter.widget-view+json"
    assert first[view] == second[view]
    assert first["image/png"] == second["image/png"]


def test_the_table_is_markdown(sheet, known):
    answer(sheet, CAT, HAT, True, True, False, None)
    lines = sheet.table().splitlines()
    assert lines[0].startswith("| prompt | criterion |")
    assert lines[1] == "| --- | --- | --- | --- | --- |"
    assert lines[2] == f"| {CAT} | {HAT} | ✓ ✓ ✗ – | 2 of 3 | 67 % (21–94 %) |"
    assert lines[4] == "|  | all of these | – – – – | – | – |"
    assert len(lines) == 2 + 3 + 2
    odd = widgets.VerdictSheet([known.images[:1]], [["a | b"]], ["two\nlines"])
    assert "| two lines | a \\| b | – | – | – |" in odd.table()


def test_the_article_speaks_only_when_all_is_scored(sheet):
    reveal = sheet.reveal[CAT]
    assert reveal.disabled
    answer(sheet, CAT, HAT, True, True, False, False)
    answer(sheet, CAT, SWORD, True, True, False, None)
    reveal.click()
    assert reveal.disabled
    assert sheet.found[CAT].value == ""
    assert "1 answers" not in sheet.error.value
    assert "one answer is still missing" in sheet.error.value
    answer(sheet, CAT, SWORD, True, True, False, False)
    assert sheet.error.value == ""
    assert not reveal.disabled
    reveal.click()
    assert "Puss in Boots &amp; others" in sheet.found[CAT].value
    assert NIGHT not in sheet.reveal  # of which the article was not given


def tags(sheet, prompt) -> list[str]:
    section = sheet.children[list(sheet.marks).index(prompt)]
    return [column.children[0].value for column in section.children[1].children]


def test_pictures_are_shown_at_160_pixels_at_most(sheet):
    assert all(
        "width:160px;height:160px;image-rendering:pixelated" in tag for tag in tags(sheet, CAT)
    )
    assert ["width:160px;height:80px'" in tag for tag in tags(sheet, NIGHT)] == [True, True]
    assert f"alt='picture 2 of “{NIGHT}”'" in tags(sheet, NIGHT)[1]


def test_pictures_of_every_kind(known):
    def sheet(images):
        return widgets.VerdictSheet([images], [["round"]], ["a face"])

    bytes_, floats = known.images[:3], known.tensor()[:3]
    kinds = [bytes_, floats, list(bytes_), list(floats), [Image.fromarray(one) for one in bytes_]]
    stills = [sheet(kind).still() for kind in kinds]
    assert len(set(stills)) == 1
    transparent = Image.new("RGBA", (30, 90), "#FF000080")
    assert len(sheet([transparent]).marks["a face"]["round"]) == 1
    assert transparent.size == (30, 90)  # the caller's own stays as it is


def pixels(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=int)


def test_pictures_and_empty_boxes_stand_in_where_no_kernel_runs(sheet):
    data, _ = DisplayFormatter().format(sheet)
    assert data["text/plain"] == sheet.words
    still = pixels(sheet.still())
    height, width, _ = still.shape
    assert width == 4 * 256 + 3 * 24
    assert 256 + 128 < height < 800
    assert still.std() > 30
    answer(sheet, CAT, HAT, True, False, None, None)
    ticked = pixels(sheet.still())
    assert ticked.shape == still.shape
    where = np.argwhere((abs(ticked - still) > 60).any(-1))
    left = where[:, 1] // (256 + 24)
    assert set(left) == {0, 1}  # under the two pictures that were answered
    assert np.ptp(where[:, 0]) < 24  # in the line of that question


def test_a_prompt_without_latin_letters_has_a_heading_in_the_still(known):
    stills = [
        pixels(widgets.VerdictSheet([known.images[:1]], [["猫"]], [prompt]).still())
        for prompt in ("戴帽子的猫", "prompt 1")
    ]
    assert (stills[0] == stills[1]).all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"prompts": "a cat"}, "prompts are a list"),
        ({"prompts": []}, "prompts are a list"),
        ({"prompts": ["a", "b"]}, "2 prompts, but 1 lists of pictures and 1 of questions"),
        ({"questions": ["a hat"]}, "needs a list of criteria"),
        ({"questions": [[]]}, "needs a list of criteria"),
        ({"questions": [["hat", "hat"]]}, "must differ from each other"),
        ({"questions": [["all of these"]]}, "must differ from each other"),
        ({"pictures": [[]]}, "has no pictures"),
        ({"pictures": [[np.zeros((4, 4))]]}, "cannot show images of shape"),
        ({"pictures": [torch.zeros(2, 7, 4, 4)]}, "cannot show images of shape"),
        ({"pictures": [["cat.png"]]}, "cannot show images of shape"),
        ({"article": {"a dog": "good"}}, "“a dog” is none of the prompts"),
        (
            {"pictures": [[], []], "questions": [["hat"]] * 2, "prompts": ["a", "a"]},
            "two prompts are the same",
        ),
    ],
)
def test_bad_input(known, changed, told):
    good = {"pictures": [known.images[:1]], "questions": [["a hat"]], "prompts": ["a cat"]}
    with pytest.raises(CourseError, match=told):
        widgets.VerdictSheet(**good | changed)
