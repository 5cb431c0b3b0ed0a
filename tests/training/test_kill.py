"""A short form of tests/kill_training.py."""

import kill_training


def test_killed_three_times_it_ends_where_an_undisturbed_training_ends(capsys):
    assert kill_training.main(["--times", "3", "--steps", "150", "--seed", "1"]) == 0
    assert "3 kills of 3 survived. Curve of 150 steps for 150" in capsys.readouterr().out
