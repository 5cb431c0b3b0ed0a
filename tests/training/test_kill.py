"""A short form of tests/kill_training.py."""

import kill_training
import pytest

pytestmark = pytest.mark.slow


def test_killed_twice_it_ends_where_an_undisturbed_training_ends(capsys):
    assert kill_training.main(["--times", "2", "--steps", "60", "--seed", "1"]) == 0
    assert "2 kills of 2 survived. Curve of 60 steps for 60" in capsys.readouterr().out
