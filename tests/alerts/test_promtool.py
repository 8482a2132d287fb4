"""Prometheus's own checker, Debian's promtool, judges the rules, runs their tests and reads the examples."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.alerts.rules import PROMTOOL_TESTS, ROOT, RULE_FILES, RUNBOOKS
from tests.harness import program

pytestmark = pytest.mark.e2e


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)


def test_promtool_finds_nothing_in_the_rules() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", PROMTOOL_TESTS, ids=lambda path: path.name)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    tested = promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


UNKNOWN = "account_zone:exoscale_ai_up:unknown"
DEPLOYMENT = "account, zone, deployment_id, deployment, model"
GUARDS = {
    "states of a failing zone are kept": (
        "deployment-error",
        f"deployment:exoscale_ai_deployment_state:last and on (account, zone) {UNKNOWN}",
        "deployment:exoscale_ai_deployment_state:last == 2",
    ),
    "replicas of a failing zone are kept": (
        "deployment-changes",
        f"deployment:exoscale_ai_deployment_replicas:last and on (account, zone) {UNKNOWN}",
        "deployment:exoscale_ai_deployment_replicas:last == -1",
    ),
    "GPUs of a failing zone are kept": (
        "deployment-stuck",
        f"deployment:exoscale_ai_gpus:last and on (account, zone) {UNKNOWN}",
        "deployment:exoscale_ai_gpus:last == -1",
    ),
    "invalid entries of a failing zone are kept": (
        "zones",
        f"account_zone:exoscale_ai_invalid_entries:last and on (account, zone) {UNKNOWN}",
        "account_zone:exoscale_ai_invalid_entries:last == -1",
    ),
    "what a listed zone does not hold is gone": (
        "deployment-error",
        "unless on (account, zone) max by (account, zone) (exoscale_ai_up) == 1",
        "",
    ),
    "two exporters raise one alert": (
        "deployment-error",
        f"max by ({DEPLOYMENT}, state) (exoscale_ai_deployment_state)",
        "exoscale_ai_deployment_state",
    ),
    "either exporter's success counts": (
        "zones",
        "max by (account, zone) (exoscale_ai_up)\n",
        "min by (account, zone) (exoscale_ai_up)\n",
    ),
    "a pod may be replaced": ("deployment-error", "(exoscale_ai_up[10m])", "(exoscale_ai_up[1m])"),
    "a zone taken out is forgotten": ("deployment-error", "(exoscale_ai_up[10m])", "(exoscale_ai_up[1d])"),
    "one exporter may be down": (
        "deployment-error",
        "last_over_time(exoscale_ai_up[1d]) and on (job, instance) up == 0",
        "up == 2",
    ),
    "all exporters may be gone": (
        "deployment-error",
        "last_over_time(exoscale_ai_up[1d]) unless on () job_instance:exoscale_ai_exporter_up:max == 1",
        "up == 2",
    ),
    "infos of a pair may differ": (
        "deployment-error",
        f"topk by ({DEPLOYMENT}) (1, exoscale_ai_deployment_info)",
        "exoscale_ai_deployment_info",
    ),
    "an exporter that restarts forgets the last success": (
        "zones",
        "last_over_time(exoscale_ai_last_success_timestamp_seconds[1d])",
        "exoscale_ai_last_success_timestamp_seconds",
    ),
    "only a listing makes a deployment vanish": (
        "deployment-changes",
        "< on (account, zone) group_left () account_zone:exoscale_ai_last_success_timestamp_seconds:max",
        "",
    ),
    "an endpoint is expected to answer while its deployment is ready": (
        "endpoints",
        'deployment:exoscale_ai_deployment_state:last{state="ready"} == 1',
        "deployment:exoscale_ai_deployment_state:last",
    ),
    "an endpoint without replicas is not expected to answer": (
        "endpoints",
        "deployment:exoscale_ai_deployment_replicas:last == 0",
        "up == 2",
    ),
    "one prober that reaches an endpoint is enough": (
        "endpoints",
        f"max by ({DEPLOYMENT}) (last_over_time(probe_success[3m]))",
        f"min by ({DEPLOYMENT}) (last_over_time(probe_success[3m]))",
    ),
    "a probe may be missed": ("endpoints", "last_over_time(probe_success[3m])", "probe_success"),
    "other things that are probed are none of ours": (
        "endpoints",
        f"and on ({DEPLOYMENT})\n          max by ({DEPLOYMENT}) (deployment:exoscale_ai_deployment_state:last)",
        "",
    ),
    "a deployment may be renamed": (
        "deployment-changes",
        'deployment:exoscale_ai_deployment_state:last{state="ready", deployment_id!=""}',
        "up == 2",
    ),
}


@pytest.mark.parametrize("claim", GUARDS)
def test_rules_without_this_guard_fail_their_tests(claim: str, tmp_path: Path) -> None:
    name, guard, without = GUARDS[claim]
    assert any(guard in path.read_text() for path in RULE_FILES)
    for path in RULE_FILES:
        (tmp_path / path.name).write_text(path.read_text().replace(guard, without))
    tests = tmp_path / f"{name}.test.yml"
    tests.write_text((Path(__file__).parent / tests.name).read_text().replace("../../prometheus/", ""))
    assert promtool("check", "rules", *(tmp_path / path.name for path in RULE_FILES)).returncode == 0
    assert promtool("test", "rules", tests).returncode == 1


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-endpoints.yml", "prometheus-multi-target.yml"])
def test_the_example_configurations_are_valid(name: str) -> None:
    checked = promtool("check", "config", ROOT / "prometheus" / name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 rule files found" in checked.stdout


def test_the_modules_of_blackbox_exporter_are_valid() -> None:
    path = ROOT / "prometheus" / "blackbox.yml"
    command = [program("prometheus-blackbox-exporter"), "--config.check", f"--config.file={path}"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_multi_target_pattern_of_the_example_spreads_accounts_and_zones(tmp_path: Path) -> None:
    """Its comments taken away, those of the hashing included: two servers share the targets."""
    text = (ROOT / "prometheus" / "prometheus.yml").read_text().partition("\n# Two more examples")[0]
    block = text[text.index("  # - job_name: exoscale-ai-zones") :]
    for comment in (r"^(  )# ", r"^(\s*)# (?=\s*(?:- |\w+:))"):
        block = re.sub(comment, r"\1", block, flags=re.MULTILINE)
    asked = []
    for shard in ("0", "1"):
        configuration = tmp_path / f"{shard}.yml"
        configuration.write_text("scrape_configs:\n" + block.replace('regex: "0"', f'regex: "{shard}"'))
        discovered = promtool("check", "service-discovery", "--timeout=1s", configuration, "exoscale-ai-zones")
        assert discovered.returncode == 0, discovered.stderr
        asked += [target["labels"] for target in json.loads(discovered.stdout) if target["labels"]]
    assert sorted(labels["instance"] for labels in asked) == ["production/ch-gva-2", "production/de-fra-1"]
    for labels in asked:
        assert labels["__address__"] + labels["__metrics_path__"] == "localhost:10042/probe"
        assert f"{labels['__param_account']}/{labels['__param_zone']}" == labels["instance"]


def test_the_example_of_alertmanager_is_valid() -> None:
    command = [program("amtool"), "check-config", str(ROOT / "prometheus" / "alertmanager.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_queries_of_the_runbooks_are_promql(tmp_path: Path) -> None:
    queries = re.findall(r"^ *```promql\n(.*?)^ *```", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    assert len(queries) > 10
    rules = [{"record": f"runbook:query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.json").write_text(json.dumps({"groups": [{"name": "runbooks", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "queries.json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
