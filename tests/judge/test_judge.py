"""The judge keeps what it promises, under the conditions it promises it for."""

import math
import re
import sys

import numpy as np
import pytest
import torch

from course_lib import faces, judge, pretrained, settings
from course_lib.captions import HIDDEN
from course_lib.judge import JudgeError, learning, trust
from course_lib.judge import reading as reading_room

CARD = settings.data_dir() / "weights" / "README.md"
# Measured under blur, noise, shift and jitter, less two faces: the worst is the ribbon's colour,
# 116 right of 120; the clothes' colour is at 99.0 % of 305, the others of 600, or more.
MILD = {"ribbon_color": 0.95, "clothes_color": 0.98, "hair_color": 0.995, "eye_color": 0.99}
OTHERS_MILD = 0.985


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


@pytest.fixture(scope="module")
def held_out() -> faces.Faces:
    return faces.load("held-out")


@pytest.fixture(scope="module")
def reading(held_out) -> judge.Reading:
    return judge.read(held_out)


@pytest.fixture(scope="module")
def rows(held_out) -> list[dict]:
    return judge.report(held_out)[0]


# The promise


@pytest.mark.parametrize("attribute", faces.attribute_values())
def test_held_out_drawings_are_read_right(rows, attribute):
    row = next(row for row in rows if row["attribute"] == attribute)
    asked = {"hair_color": 0.99, "eye_color": 0.97}.get(attribute, 0.95)
    assert row["target"] == asked
    assert row["score"].accuracy >= asked
    assert row["met"]


@pytest.mark.parametrize("how", judge.DISTURBANCES)
def test_mild_disturbance_is_withstood(rows, how):
    for row in rows:
        name = row["attribute"]
        assert row[how] >= MILD.get(name, OTHERS_MILD), name


def test_confidence_is_the_chance_of_being_right(rows):
    for row in rows:
        # Ribbons are few, and those of the hair's own colour are missed: see the card.
        most = 0.05 if row["attribute"] == "ribbon_color" else 0.015
        for how in ("ece", "blur ece", "noise ece"):
            assert row[how] < most, (row["attribute"], how)


def test_card_and_manifest_say_what_is_measured(rows):
    stated = pretrained.describe("judge")["training"]["accuracy_held_out"]
    card = CARD.read_text(encoding="utf-8")
    for row in rows:
        name = row["attribute"]
        # 16 bits a weight, and another processor's rounding: a face or two of 600 may tip over.
        tipped = max(0.004, 2.5 / row["score"].total)
        assert stated[name] == pytest.approx(row["accuracy"], abs=tipped), name
        cells = re.search(rf"\| `{name}` \| (\d+) \| ([\d.]+) ", card)
        assert cells, f"{name} is missing from the card"
        assert int(cells[1]) == row["values"]
        assert float(cells[2]) / 100 == pytest.approx(row["accuracy"], abs=tipped), name


def test_weights_are_small():
    path = settings.data_dir() / "weights" / pretrained.describe("judge")["file"]
    assert path.stat().st_size < 4 * 2**20


# Readings


def test_accuracy_agrees_with_the_readings(held_out, reading):
    score = judge.accuracy(held_out)["eye_color"]
    visible = [i for i, face in enumerate(held_out.attributes) if face["eye_color"] != HIDDEN]
    right = sum(
        reading.names[i]["eye_color"] == held_out.attributes[i]["eye_color"] for i in visible
    )
    assert score == (right, len(visible))


def test_colours_are_hidden_exactly_where_they_cannot_be_seen(reading):
    for names in reading.names:
        assert (names["eye_color"] == HIDDEN) == (names["eye_shape"] == "closed")
        assert (names["ribbon_color"] == HIDDEN) == (names["ribbon"] == "no")
        assert (names["clothes_color"] == HIDDEN) == (names["clothes"] in ("sailor", "shirt"))
        assert HIDDEN not in {v for k, v in names.items() if not k.endswith("_color")}


def test_hidden_is_as_sure_as_what_hides_it():
    values = faces.attribute_values()
    probabilities = {
        name: np.full((2, len(known)), 1 / len(known)) for name, known in values.items()
    }
    closed = values["eye_shape"].index("closed")
    probabilities["eye_shape"] = np.full((2, 6), 0.02)
    probabilities["eye_shape"][0, closed] = 0.9
    probabilities["eye_shape"][1, 0] = 0.9
    probabilities["eye_color"] = np.tile([0.7, 0.3] + [0.0] * 8, (2, 1))
    reading = reading_room._named(probabilities, values)
    assert [names["eye_color"] for names in reading.names] == [HIDDEN, values["eye_color"][0]]
    assert reading.confidence["eye_color"] == pytest.approx([0.9, 0.7 * 0.98])


def test_shares_are_of_those_that_can_be_seen(held_out, reading):
    shares = reading.shares("eye_color")
    assert list(shares) == faces.attribute_values()["eye_color"]
    assert sum(shares.values()) == pytest.approx(1)
    colours = [face["eye_color"] for face in held_out.attributes]
    blue = colours.count("blue") / (len(colours) - colours.count(HIDDEN))
    assert shares["blue"] == pytest.approx(blue, abs=0.01)
    only_closed = judge.Reading([{"eye_color": HIDDEN}], {})
    assert set(only_closed.shares("eye_color").values()) == {0}


def test_unknown_attribute_lists_the_known_ones(reading):
    with pytest.raises(JudgeError, match="unknown attribute 'hair'; known: hair_color, eye_color"):
        reading.shares("hair")


def test_batches_do_not_change_the_reading(held_out, reading):
    few = judge.read(held_out[:10].tensor(), batch_size=3)
    assert len(few) == 10
    assert few.names == reading.names[:10]
    for name, confidence in few.confidence.items():
        assert confidence == pytest.approx(reading.confidence[name][:10], abs=1e-4)


def test_faces_without_attributes_cannot_be_scored(held_out):
    with pytest.raises(JudgeError, match="not known, so no answer can be checked"):
        judge.accuracy(faces.Faces(held_out.images[:2]))


# What cannot be read


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (np.zeros((1, 3, 64, 64), np.float32), r"Faces\(array\)\.tensor\(\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), r"images\.float\(\) / 127\.5 - 1"),
        (torch.zeros(3, 64, 64), r"image\[None\]"),
        (torch.zeros(1, 3, 128, 128), r"interpolate\(images, size=64"),
        (torch.zeros(1, 64, 64, 3), r"\(B, 3, 64, 64\), not \(1, 64, 64, 3\)"),
        (torch.zeros(0, 3, 64, 64), "no images"),
        (torch.full((1, 3, 64, 64), 200.0), r"reach 200: from 0…255"),
        (torch.full((1, 3, 64, 64), -1.4), r"clamp\(-1, 1\)"),
        (torch.full((1, 3, 64, 64), 0.5), r"seem to be in \[0, 1\]: images \* 2 - 1"),
        (torch.full((1, 3, 64, 64), math.nan), "NaN or infinite"),
    ],
)
def test_what_cannot_be_read_is_refused_with_advice(images, advice):
    with pytest.raises(JudgeError, match=advice):
        judge.read(images)


# Features


def test_features_tell_spoilt_faces_from_real_ones(held_out):
    network = judge.load()
    assert network is judge.load()
    images = held_out[:400].tensor()
    with torch.no_grad():
        sizes = [network.features(images[:2], layer=layer).shape for layer in judge.LAYERS]
        assert sizes == [(2, 96), (2, 192), (2, 96), (2, 96)]
        one_half, other_half = network.features(images).split(200)
        noisy = network.features(judge.noise(images[200:], 0.3))
    assert one_half.shape == (200, 192)
    between_halves = (one_half.mean(0) - other_half.mean(0)).norm()
    assert (one_half.mean(0) - noisy.mean(0)).norm() > 2 * between_halves


def test_unknown_layer_lists_the_known_ones():
    with pytest.raises(JudgeError, match="known layers: edges, strokes, parts, face"):
        judge.load().features(torch.zeros(1, 3, 64, 64), layer="last")


# Figures


def test_wilson_interval():
    low, high = judge.Score(95, 100).interval  # Newcombe 1998, by hand: 0.8882 to 0.9785
    assert (low, high) == pytest.approx((0.8882, 0.9785), abs=1e-4)
    assert judge.Score(600, 600).interval == pytest.approx((0.9936, 1.0), abs=1e-4)
    assert judge.Score(0, 0).interval == (0, 1)


def test_calibration_error_of_the_overconfident():
    right = np.array([True, False] * 50)
    assert judge.calibration_error(right, np.full(100, 0.9)) == pytest.approx(0.4)
    assert judge.calibration_error(right, np.full(100, 0.5)) == pytest.approx(0.0)


def test_calibration_cools_what_is_too_sure():
    torch.manual_seed(0)
    network = judge.Judge(width=4, hidden=8).eval()
    images = torch.rand(400, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        network.heads.weight *= 300  # very sure, for no reason
        labels = {name: torch.randint(len(known), (400,)) for name, known in network.values.items()}
        judge.calibrate(network, images, labels)
    assert network.temperature.min() > 2


def test_disturbances_keep_shape_and_range(held_out):
    images = held_out[:8].tensor()
    for name, disturb in judge.DISTURBANCES.items():
        changed = disturb(images)
        assert changed.shape == images.shape
        assert changed.abs().max() <= 1 + 1e-5, name
        assert 0.005 < (changed - images).abs().mean() < 0.3, name
        assert torch.equal(changed, disturb(images)), name
    assert torch.equal(judge.shift(images)[:, :, :-2, :-2], images[:, :, 2:, 2:])


# The command


@pytest.mark.parametrize(("spoilt", "status"), [(False, 0), (True, 1)])
def test_command_ends_with_the_verdict(monkeypatch, capsys, rows, spoilt, status):
    wrong = [row | {"met": False} for row in rows]
    monkeypatch.setattr(trust, "report", lambda known: (wrong if spoilt else rows, not spoilt))
    monkeypatch.setattr(sys, "argv", ["judge"])
    with pytest.raises(SystemExit) as ended:
        trust.main()
    assert ended.value.code == status
    printed = capsys.readouterr().out
    assert printed.count(" NO") == (len(rows) if spoilt else 0)
    assert len(re.findall(r"^hair_color .*%", printed, re.MULTILINE)) == 2


# The training


def test_augmentation_keeps_the_colours(held_out):
    torch.manual_seed(0)
    images = held_out[:64].tensor()
    changed = learning.augment(images.clone())
    assert changed.shape == images.shape
    assert changed.abs().max() <= 1
    means, before = changed.mean((2, 3)), images.mean((2, 3))
    assert (means - before).abs().max() < 0.3
    assert (changed - images).abs().mean() > 0.05


def test_pictures_are_augmented_in_32_bits(monkeypatch):
    """In half precision a place in a picture is a quarter of a pixel out."""
    kinds = []

    def asked(images):
        kinds.append(torch.is_autocast_enabled("cpu"))
        return images

    monkeypatch.setattr(learning, "augment", asked)
    recipe = judge.Recipe(drawn=(), batch_size=8)
    plan = judge.build(faces.load("train")[:16], recipe, width=4, precision="bf16")
    plan.fit(8, progress=False)
    assert kinds == [False]


def test_held_out_face_among_the_training_faces_is_found(held_out):
    distance = learning.distance_to_nearest
    assert distance(held_out[:50], [held_out[40:60]]) == 0
    renamed = held_out[40:60].images.copy()
    copies = faces.Faces(renamed, seeds=[f"other-{i}" for i in range(20)])
    assert distance(held_out[:50], [copies]) < 0.01
    assert distance(held_out[:50], [held_out[100:400]]) > learning.APART


@pytest.mark.slow
def test_a_judge_learns_calibrates_itself_and_goes_on_exactly(held_out, tmp_path):
    recipe = judge.Recipe(drawn=(), validation=((103, 20),), batch_size=16)

    def train():
        plan = judge.build(faces.load("train")[:64], recipe, width=4, hidden=8, precision="no")
        history = plan.fit(96, folder=tmp_path, save_every=3, progress=False)
        return plan.result(), history, plan

    network, history, plan = train()
    for last in tmp_path.glob("step-00000006.*"):
        last.unlink()  # as if it had been killed after the third step
    resumed, again, _ = train()
    assert history.losses == again.losses
    for key, value in network.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert history.losses["loss"][-1] < history.losses["loss"][0]
    assert (network.temperature != 1).any()
    figures = plan.figures(network)
    assert figures["accuracy_held_out"].keys() == faces.attribute_values().keys()


def test_faces_that_nobody_has_described_are_refused(few_faces):
    with pytest.raises(JudgeError, match="the judge has to be told: take bundled"):
        judge.build(few_faces)


def test_a_judge_that_learns_the_held_out_faces_is_refused(held_out):
    with pytest.raises(JudgeError, match="held-out face is among the training faces"):
        judge.build(held_out, judge.Recipe(drawn=()))
