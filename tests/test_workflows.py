"""The workflows can't run here: they are thin, and what they call does."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[Any, Any]:
    workflow = yaml.safe_load(path.read_text())
    assert isinstance(workflow, dict)
    return workflow


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in load(path)["jobs"].values():
        yield from job.get("steps", ())


def test_there_is_a_workflow_for_tests_image_and_release() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "image", "release"]


@each_workflow
def test_every_command_is_a_make_target_that_exists_or_the_script_for_everything(path: Path) -> None:
    for command in [step["run"] for step in steps(path) if "run" in step]:
        if command == ".ci/run":
            assert os.access(ROOT / command, os.X_OK)
            continue
        make, target, *variables = command.split()
        assert make == "make"
        assert target in TARGETS
        assert all(re.fullmatch(r'[A-Z]+="[\w$./-]+"', variable) for variable in variables), "no ${{…}} in a shell"


@each_workflow
def test_every_action_is_pinned_by_its_commit_and_says_which_version_that_is(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    remote = [action for action in used if not action.startswith("./")]
    assert not [action for action in remote if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)]
    for action in set(used) - set(remote):
        assert (ROOT / action).is_file()


def test_an_action_is_the_same_everywhere() -> None:
    pins = {pin for path in WORKFLOWS for pin in re.findall(r"uses: ([^.\s]\S+)", path.read_text())}
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


@each_workflow
def test_a_workflow_may_read_and_only_single_jobs_may_more(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}
    wider = {name: job["permissions"] for name, job in load(path)["jobs"].items() if "permissions" in job}
    expected = {"image": {"contents": "read", "packages": "write"}, "release": {"id-token": "write"}}
    assert wider == ({"publish": expected[path.stem]} if path.stem in expected else {})


@each_workflow
def test_every_job_has_a_time_limit(path: Path) -> None:
    jobs = load(path)["jobs"].values()
    assert all("timeout-minutes" in job for job in jobs if "steps" in job)


def test_tests_run_on_every_version_of_python_from_the_oldest_supported_on() -> None:
    versions = load(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest
    assert versions == [f"3.{minor}" for minor in range(int(oldest[1]), 15)]


def test_releases_store_no_token() -> None:
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()
