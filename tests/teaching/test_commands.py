"""What `course` says of itself."""

from importlib import metadata

import pytest
import typer
from typer.testing import CliRunner

from course_lib import cli
from course_lib.teaching import checking, doctor, grading

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


def test_an_old_code_page_does_not_stop_it(monkeypatch):
    """As on Windows, where it is the encoding of what goes into a file or a pipe."""
    finding = doctor.Finding("fonts", "warning", "none", "install some")
    monkeypatch.setattr(doctor, "examine", lambda: iter([finding]))
    said = CliRunner(charset="cp1252").invoke(cli.app, ["doctor"])
    assert said.exit_code == 0
    assert "none → install some" in said.stdout_bytes.decode("utf-8")


@pytest.mark.parametrize(
    ("module", "work", "words"),
    [
        (checking, "run", ["check", "--html"]),
        (checking, "run", ["check", "--junit"]),
        (grading, "grade", ["grade", "notebooks", "--csv"]),
    ],
)
def test_a_result_that_cannot_be_written_is_told_before_the_work(
    course, monkeypatch, module, work, words
):
    monkeypatch.setattr(doctor, "examine", lambda: iter([]))
    monkeypatch.setattr(module, work, lambda *_: pytest.fail("it was done in vain"))
    said = CliRunner().invoke(cli.app, [*words, "notebooks"])
    assert (said.exit_code, "notebooks is a folder" in said.output) == (1, True), said.output
    said = CliRunner().invoke(cli.app, [*words, "README.md/out"])
    assert (said.exit_code, "README.md" in said.output) == (1, True), said.output
    monkeypatch.setattr(module, work, lambda *_: [])
    said = CliRunner().invoke(cli.app, [*words, "new/folder/out"])
    assert said.exit_code == 0, said.output
    assert (course / "new" / "folder" / "out").is_file()
