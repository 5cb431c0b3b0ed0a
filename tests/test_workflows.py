"""GitHub's workflows: they can be read, and what they call is there."""

import re
import tomllib

import pytest
import yaml

from tools.notebooks import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE))


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_whole(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow[True]  # `on`, which YAML takes for a yes
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "runs-on" in job
        assert job.get("timeout-minutes") or not any("run" in step for step in job["steps"])
        assert set(job.get("needs", "").split()) <= workflow["jobs"].keys()
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        assert "@v" in step.get("uses", "@v")


def test_every_week_each_target_and_each_system_is_tried():
    workflow = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text(encoding="utf-8"))
    assert workflow[True].keys() == {"schedule", "workflow_dispatch"}
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", workflow[True]["schedule"][0]["cron"])
    versions, systems = (workflow["jobs"][name] for name in ("versions", "systems"))
    targets = {row["target"] for row in versions["strategy"]["matrix"]["include"]}
    assert targets == {"test-lowest", "test-newest", "test-colab"}
    assert targets <= TARGETS
    assert systems["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    assert systems["strategy"]["matrix"]["python"][0] == oldest
    commands = [step["run"] for step in systems["steps"] if "run" in step]
    assert not any("make" in line for line in commands)  # Windows has none
    for word in re.findall(r"[\w.]+/[\w/]+|constraints\.txt|\btests\b", " ".join(commands)):
        assert (ROOT / word).exists(), word


def test_ci_runs_the_two_halves_of_what_the_script_runs_in_one():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert {"run": "make ${{ matrix.part }} ALL=1"} in steps(workflow)
    parts = workflow["jobs"]["test"]["strategy"]["matrix"]["part"]
    assert set(parts) == {"test-code", "test-browser"} <= TARGETS
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test ALL=1")
