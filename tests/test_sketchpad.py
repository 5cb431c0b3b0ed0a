"""The sketchpad: a doodle is drawn by clicking, and a painter makes faces of it."""

import io
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from torch.nn.functional import avg_pool2d

from course_lib import latent_diffusion as ld
from course_lib import settings, widgets
from course_lib.errors import CourseError
from course_lib.pixels import to_uint8
from course_lib.widgets import doodles

BLUE, RED, SKY = (doodles.LETTERS.index(letter) for letter in "br.")
FILL = 0


def blur(image, prompt, strength, seeds):
    """Blurred by the strength, darker for each further seed."""
    if prompt == "break":
        raise CourseError("no <paint> left: buy some")
    blurred = avg_pool2d(image, 5, 1, 2) * strength + image * (1 - strength)
    return torch.cat([blurred - 0.1 * seed for seed in seeds])


@pytest.fixture
def pad():
    asked = []

    def paint(*told):
        asked.append(told)
        return blur(*told)

    pad = widgets.Sketchpad(paint, "blue hair, green eyes")
    pad.asked = asked
    return pad


def shown(pad) -> list[str]:
    """What the page shows of each cell."""
    return [cell.style.button_color for cell in pad.cells]


def colours(pad) -> list[str]:
    """What each cell should show."""
    pixels = to_uint8(pad.image())[0, ::4, ::4].reshape(-1, 3)
    return ["#{:02x}{:02x}{:02x}".format(*pixel) for pixel in pixels.tolist()]


def click(pad, row: int, column: int) -> None:
    pad.cells[row * doodles.CELLS + column].click()


def test_the_doodle_is_an_image(pad):
    image = pad.image()
    assert image.shape == (1, 3, 64, 64)
    assert image.dtype == torch.float32
    sky = torch.tensor([0xB9, 0xDC, 0xF6]) / 127.5 - 1
    assert torch.allclose(image[0, :, :4, :4], sky.view(3, 1, 1).expand(3, 4, 4))
    cells = image.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert (cells == cells[..., :1]).all()  # each cell is of one colour
    assert shown(pad) == colours(pad)


def test_all_colours_occur_in_the_faces():
    style = json.loads((settings.data_dir() / "anime-face.json").read_text(encoding="utf-8"))
    known = {colour for group in style["colors"].values() for colour in group["values"]}
    assert {colour for _, colour in doodles.PALETTE.values()} <= known


@pytest.mark.parametrize(
    ("brush", "at", "rows", "columns"),
    [
        (1, (5, 5), (5, 6), (5, 6)),
        (2, (5, 5), (5, 7), (5, 7)),
        (4, (5, 5), (4, 8), (4, 8)),
        (4, (0, 15), (0, 3), (14, 16)),
    ],
)
def test_a_brush_colours_its_cells_and_no_others(pad, brush, at, rows, columns):
    before = pad.image()
    pad.palette[RED].click()
    assert "red" in pad.chosen.value
    pad.brush.value = brush
    click(pad, *at)
    changed = (pad.image() != before).any(1)[0]
    red = torch.tensor([0xCC, 0x25, 0x36]) / 127.5 - 1
    is_red = torch.isclose(pad.image()[0], red.view(3, 1, 1)).all(0)
    (top, bottom), (left, right) = rows, columns
    area = torch.zeros(64, 64, dtype=torch.bool)
    area[4 * top : 4 * bottom, 4 * left : 4 * right] = True
    assert is_red[area].all()
    assert not changed[~area].any()
    assert shown(pad) == colours(pad)
    assert pad.cells[at[0] * 16 + at[1]].tooltip == f"row {at[0] + 1}, column {at[1] + 1}: red"


def test_only_the_cells_that_change_are_sent(pad):
    told = []
    for i, cell in enumerate(pad.cells):
        cell.observe(lambda change, i=i: told.append((i, change["name"])), ["style", "tooltip"])
    pad.palette[RED].click()
    assert told == []
    click(pad, 0, 1)
    assert sorted(told) == [(1, "style"), (1, "tooltip")]
    click(pad, 0, 1)  # it is red already
    assert len(told) == 2


def test_fill_stays_within_an_area(pad):
    before = colours(pad)
    pad.palette[RED].click()
    pad.brush.value = FILL
    click(pad, 3, 8)  # the hair
    blue, red = doodles.PALETTE["b"][1], doodles.PALETTE["r"][1]
    assert blue in before
    assert colours(pad) == [red if colour == blue else colour for colour in before]
    assert shown(pad) == colours(pad)


def test_undo_goes_back_to_the_first_doodle(pad):
    first = colours(pad)
    pad.palette[RED].click()
    click(pad, 0, 0)
    after_one = colours(pad)
    click(pad, 0, 0)  # changes nothing, so there is nothing to take back
    pad.clear.click()
    assert set(colours(pad)) == {doodles.PALETTE["."][1]}
    pad.undo.click()
    assert shown(pad) == colours(pad) == after_one
    pad.undo.click()
    assert shown(pad) == colours(pad) == first
    assert pad.status.value == ""
    pad.undo.click()
    assert "Nothing is left" in pad.status.value
    click(pad, 0, 0)
    assert pad.status.value == ""


def test_it_paints_once_and_then_only_when_asked(pad):
    assert [told[1:] for told in pad.asked] == [("blue hair, green eyes", 0.7, [0, 1, 2, 3])]
    click(pad, 0, 0)
    pad.prompt.value = "a <red> cat"
    pad.strength.value = 0.4
    pad.seed.value = 7
    assert len(pad.asked) == 1
    pad.button.click()
    image, *told = pad.asked[1]
    assert told == ["a <red> cat", 0.4, [7, 8, 9, 10]]
    assert torch.equal(image, pad.image())
    assert pad.pictures.value.count("<img") == 4
    assert "seed 10" in pad.pictures.value
    assert "a &lt;red&gt; cat" in pad.pictures.value
    assert pad.button.description == "paint"


def test_what_goes_wrong_is_told_and_the_last_faces_stay(pad):
    before, still = pad.pictures.value, pad.still()
    pad.prompt.value = "break"
    pad.button.click()
    assert "no &lt;paint&gt; left: buy some" in pad.status.value
    assert (pad.pictures.value, pad.still()) == (before, still)
    assert pad.button.description == "paint"
    pad.prompt.value = ""
    pad.button.click()
    assert pad.status.value == ""
    assert "no prompt" in pad.pictures.value


def test_a_click_while_it_paints_is_ignored():
    seen = []

    def paint(image, prompt, strength, seeds):
        if seeds == [5]:  # asked by a click
            seen.append((pad.button.disabled, pad.button.description))  # disabled loses the focus
            pad.button.click()
        return blur(image, prompt, strength, seeds)

    pad = widgets.Sketchpad(paint, faces=1)
    pad.seed.value = 5
    pad.button.click()
    assert seen == [(False, "painting …")]
    assert pad.status.value == ""


def pixels(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=int)


def test_faces_stand_in_where_no_kernel_runs(pad):
    data, _ = DisplayFormatter().format(pad)
    assert data["text/plain"] == pad.words
    still = pixels(pad.still())
    side = 2 * doodles.FACE
    assert still.shape[1] == 5 * side + 2 * (48 + 3 * 4)  # the arrow, and gaps between the faces
    assert side < still.shape[0] < 2 * side
    doodle = to_uint8(pad.image())[0].repeat(4, 0).repeat(4, 1)
    assert abs(still[:side, :side] - doodle).mean() < 3  # 256 colours
    faces = [still[:side, side + 96 + i * (side + 8) :][:, :side] for i in range(4)]
    assert all(one.mean() > other.mean() for one, other in pairwise(faces))
    assert still[side + 30 :].std() > 10  # what was asked for
    assert len(pad.still()) < 100_000


def test_a_prompt_that_no_font_of_the_still_has(pad):
    before = pixels(pad.still())
    pad.prompt.value = "蓝色长发"
    pad.button.click()
    after = pixels(pad.still())
    assert after.shape == before.shape
    assert (after != before).any()


def test_many_faces_stand_in_rows_of_four():
    one, six = (widgets.Sketchpad(blur, faces=faces) for faces in (1, 6))
    assert pixels(six.still()).shape[0] > pixels(one.still()).shape[0] + 2 * doodles.FACE
    assert f"max-width:{4 * (doodles.FACE + 4)}px" in six.pictures.value  # four, or fewer


def test_the_real_painter_keeps_the_colours_of_the_doodle(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    painter = ld.Painter()

    @torch.no_grad()
    def paint(image, prompt, strength, seeds):
        latents = painter.autoencoder.encode(image).latent_dist.mode()
        noise = torch.cat([painter.noise(1, seed) for seed in seeds])
        states, empty = painter.states([prompt] * len(seeds))
        start = ld.flow.add_noise(latents, noise, strength)
        walked = ld.walk(painter.unet, states, empty, start, steps=4, start=strength)
        return ld.decode(painter.autoencoder, walked[-1])

    pad = widgets.Sketchpad(paint, "smile", strength=0.5, faces=1)
    blue = pad._painted.faces[:, 12:20, 24:40].mean((0, 1, 2))
    assert blue[2] > blue[0] + 80
    pad.palette[RED].click()
    pad.brush.value = FILL
    click(pad, 3, 8)
    pad.button.click()
    assert pad.status.value == ""
    red = pad._painted.faces[:, 12:20, 24:40].mean((0, 1, 2))
    assert red[0] > red[2] + 80


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"paint": None}, "paint is no function"),
        ({"paint": lambda *_: torch.zeros(3, 3, 64, 64)}, "gave 3 images for 4 seeds"),
        ({"paint": lambda *_: torch.zeros(4, 5, 64, 64)}, "cannot show images of shape"),
        ({"prompt": ["red"]}, "give one text"),
        ({"strength": 0.1}, "choose from 0.3 to 1"),
        ({"strength": float("nan")}, "choose from 0.3 to 1"),
        ({"seed": -1}, "choose a whole number"),
        ({"faces": 0}, "choose 1 or more"),
        ({"doodle": "....\n...."}, "16 lines of 16 letters"),
        ({"doodle": ("." * 15 + "?\n") * 16}, r"no colours: \?; choose from"),
    ],
)
def test_bad_input(changed, told):
    with pytest.raises(CourseError, match=told):
        widgets.Sketchpad(**{"paint": blur} | changed)
