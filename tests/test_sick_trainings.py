"""Lesson 3's healthy and sick trainings: what was recorded shows what it is shown for."""

import numpy as np
import pytest

from course_lib import faces, failures
from course_lib.errors import CourseError


def last(record: failures.Record, name: str) -> float:
    return float(np.mean(record.curves[name][-10:]))


@pytest.mark.parametrize("seed", range(failures.KEPT))
def test_the_recorded_trainings_have_their_symptoms(seed):
    records = failures.load(seed)
    assert list(records) == list(failures.CASES)
    healthy, collapsed, won, wild = records.values()
    assert all(record.pictures.shape == (2, 4, 32, 32, 3) for record in records.values())
    assert last(healthy, "variety") > 0.8
    assert 0.4 < last(healthy, "D(G(z))") < last(healthy, "D(x)") < 0.6
    assert last(collapsed, "variety") < 0.4
    assert abs(last(collapsed, "D(x)") - 0.5) < 0.05
    assert last(won, "D(x)") > 0.99
    assert last(won, "D(G(z))") < 0.01
    assert last(won, "gradient") < last(healthy, "gradient") / 50
    assert last(wild, "gradient") > 5 * last(healthy, "gradient")
    half = wild.curves["loss_G"][50:]
    assert max(half) > 3 * min(half)


def test_the_ends_of_three_seeds_agree():
    for name, ends in failures.ends().items():
        assert len(ends) == 3
        sick = name in ("mode collapse", "D wins")
        assert all((one["variety"] < 0.5) == sick for one in ends if name != "oscillation")


def test_patients_are_the_cases_of_the_second_seed():
    patients = failures.patients()
    assert {failures.PATIENTS[letter] for letter in patients} == set(failures.CASES)
    sick = failures.load(1)[failures.PATIENTS["A"]]
    assert patients["A"].curves == sick.curves
    assert failures.load(0)[failures.PATIENTS["A"]].curves != sick.curves
    with pytest.raises(CourseError, match="not those of 2"):
        failures.load(2)


def test_a_training_is_made_by_the_rules():
    data = faces.load("held-out")
    record = failures.train(failures.CASES["D wins"], data, images=320)
    assert record.pictures.shape == (2, 4, 32, 32, 3)
    assert {len(curve) for curve in record.curves.values()} == {10}
    assert all(value <= 0 for value in record.curves["loss_G"])  # log(1 - D), which is never > 0
    healthy = failures.train(failures.HEALTHY, data, images=320)
    assert all(value >= 0 for value in healthy.curves["loss_G"])
    again = failures.train(failures.HEALTHY, data, images=320)
    assert np.allclose(healthy.curves["loss_D"], again.curves["loss_D"], atol=1e-4)
    assert not np.allclose(healthy.curves["loss_D"], record.curves["loss_D"], atol=1e-2)
