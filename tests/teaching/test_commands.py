"""What `course` says of itself."""

from importlib import metadata

import pytest
import typer
from typer.testing import CliRunner

from course_lib import cli

COMMANDS = typer.main.get_command(cli.app).commands


def test_the_instructors_commands_are_there():
    assert {"train", "paint", "doctor", "check", "release", "grade"} <= COMMANDS.keys()
    said = CliRunner().invoke(cli.app, ["--help"]).output
    assert "For instructors" in said


def test_the_version_is_said_and_nothing_else():
    said = CliRunner().invoke(cli.app, ["--version"])
    assert said.exit_code == 0
    assert said.output.strip() == f"course {metadata.version('ai-painting-course')}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is_for(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = CliRunner().invoke(cli.app, [name, "--help"])
    assert said.exit_code == 0
    first = COMMANDS[name].help.splitlines()[0]
    assert first.strip().endswith((".", "cure.", "?"))
    assert first.split(".")[0][:40] in said.output
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.help.rstrip().endswith((".", "?", '."', "…")), parameter.name
