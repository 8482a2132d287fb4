"""A believable organization: which deployments it has, as a pure function of the time since it began."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ZONES = ("at-vie-2", "ch-gva-2", "de-fra-1")
HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class Phase:
    """What a deployment is for `seconds`. Without a state it is not there: deleted, or not created yet."""

    seconds: float
    state: str | None
    replicas: int = 0


@dataclass(frozen=True)
class Plan:
    """A deployment that goes through its phases again and again; `age` is in seconds when the simulation begins."""

    zone: str
    name: str
    model: str
    gpu_type: str
    gpu_count: int
    phases: tuple[Phase, ...]
    age: float = 40 * DAY
    visibility: str = "private"
    service_level: str = "pro"

    def at(self, start: float, elapsed: float) -> dict[str, Any] | None:
        """The deployment as the API shows it `elapsed` seconds after `start` (Unix time)."""
        cycle = sum(phase.seconds for phase in self.phases)
        cycles, offset = divmod(elapsed, cycle)
        began = elapsed - offset
        for phase in self.phases:
            if offset < phase.seconds:
                break
            offset -= phase.seconds
            began += phase.seconds
        if phase.state is None:
            return None
        # One that gets deleted is another one when it is created again.
        recreated = any(other.state is None for other in self.phases)
        created = start + elapsed // cycle * cycle if recreated else start - self.age
        updated = start + began if len(self.phases) > 1 else start - self.age / 4
        incarnation = int(cycles) if recreated else 0
        identifier = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.zone}/{self.name}/{incarnation}")
        return {
            "id": str(identifier),
            "name": self.name,
            "state": phase.state,
            "model": {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, self.model)), "name": self.model},
            "visibility": self.visibility,
            "gpu-count": self.gpu_count,
            "gpu-type": self.gpu_type,
            "replicas": phase.replicas,
            "service-level": self.service_level,
            "created-at": _date(created),
            "updated-at": _date(updated),
        }


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _always(state: str, replicas: int) -> tuple[Phase, ...]:
    return (Phase(DAY, state, replicas),)


_COMES_AND_GOES = (
    Phase(20, "creating", 1),
    Phase(30, "preparing", 1),
    Phase(60, "deploying", 1),
    Phase(600, "ready", 1),
    Phase(60, None),
)
_BREATHES = (
    Phase(90, "ready", 2),
    Phase(30, "scaling", 4),
    Phase(180, "ready", 4),
    Phase(30, "scaling", 2),
)
_UPDATED_NOW_AND_THEN = (Phase(240, "ready", 2), Phase(60, "updating", 2))

PLANS = (
    Plan("at-vie-2", "embeddings", "BAAI/bge-m3", "gpua5000", 1, _always("ready", 2)),
    Plan("at-vie-2", "reranker", "BAAI/bge-reranker-v2-m3", "gpua5000", 1, _always("ready", 1)),
    Plan("at-vie-2", "translation", "google/gemma-3-27b-it", "gpua5000", 2, _always("ready", 0), 12 * DAY),
    Plan("ch-gva-2", "chat-production", "mistralai/Mistral-Small-3.2-24B-Instruct", "gpua5000", 2, _always("ready", 3)),
    Plan("ch-gva-2", "chat-staging", "mistralai/Mistral-Small-3.2-24B-Instruct", "gpua5000", 2, _always("ready", 1)),
    Plan("ch-gva-2", "assistant", "swiss-ai/Apertus-70B-Instruct", "gpurtx6000pro", 2, _BREATHES),
    Plan("ch-gva-2", "nightly-evaluation", "Qwen/Qwen3-32B", "gpurtx6000pro", 1, _COMES_AND_GOES),
    Plan("ch-gva-2", "summaries", "meta-llama/Llama-3.3-70B-Instruct", "gpu3", 4, _always("error", 1), 2 * HOUR),
    Plan("de-fra-1", "chat-production", "mistralai/Mistral-Small-3.2-24B-Instruct", "gpua5000", 2, _always("ready", 2)),
    Plan("de-fra-1", "code-completion", "Qwen/Qwen3-Coder-30B-A3B-Instruct", "gpurtx6000pro", 1, _UPDATED_NOW_AND_THEN),
    Plan("de-fra-1", "research", "openai/gpt-oss-120b", "gpu3", 8, _always("deploying", 1), 10 * 60),
    Plan("de-fra-1", "transcription", "openai/whisper-large-v3", "gpu3080ti", 1, _always("ready", 1)),
    Plan("de-fra-1", "shared-mistral", "mistralai/Mistral-Large", "gpu3", 8, _always("ready", 4), visibility="public"),
)


def deployments(zone: str, start: float, elapsed: float) -> list[dict[str, Any]]:
    """What the zone lists `elapsed` seconds after the simulation began at `start` (Unix time)."""
    listed = (plan.at(start, elapsed) for plan in PLANS if plan.zone == zone)
    return [deployment for deployment in listed if deployment]
