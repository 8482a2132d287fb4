"""The signature: the official library, the simulator's own verifier and the published known answers agree."""

import time
from pathlib import Path

import pytest
import requests
import responses
from exoscale_auth import ExoscaleV2Auth

from exporter import config
from exporter.client import Client
from exporter.simulator import signature
from exporter.simulator.server import Simulator
from tests.harness import configuration

KEY = "EXO" + "x" * 24
SECRET = "X" * 43
EXPIRES = 3376684800
KNOWN_ANSWERS = {
    "/v2/zone": "Ntbq/p0HVmA3Zg1HHY+Lq1vjFGi7HeMrrgXDS5jRNlY=",
    "/v2/zone?k1=v1&k2=v2": "iqOBz13+44L5j0uJclE8hmUhQQcvtCSoPEOXYK6liqY=",
    "/v2/ai/deployment": "sEYh0yRgiA+XTygZ+6m9vRIWMxpM4hyER9nAJ7o84T4=",
    "/v2/ai/deployment?visibility=private": "GlBXTJxkU3dRg/XoBSkhEbpNFSbLSbaPRLNQfCetMpk=",
}


def authorization_of_the_client(target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The header that the exporter's own client sends at the moment of the known answers."""
    monkeypatch.setattr("time.time", lambda: EXPIRES - 600.0)
    environ = {"EXOSCALE_API_KEY": KEY, "EXOSCALE_API_SECRET": SECRET}
    current = config.parse("accounts: [{endpoint: 'https://api.example/v2', zones: [z]}]", environ, Path(), "")
    client = Client(current.accounts[0], "z", current.scrape, lambda *_: None)
    path, _, query = target.partition("?")
    with responses.RequestsMock() as mock:
        mock.get("https://api.example" + target, json={})
        parameters = dict(part.split("=") for part in query.split("&")) if query else None
        client.get(path.removeprefix("/v2"), "list-deployments", time.monotonic() + 10, parameters)
        sent = mock.calls[0].request.headers["Authorization"]
    client.close()
    return str(sent)


@pytest.mark.parametrize("target", KNOWN_ANSWERS)
def test_the_client_gives_the_known_answer(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    header = authorization_of_the_client(target, monkeypatch)
    assert header.startswith(f"EXO2-HMAC-SHA256 credential={KEY},")
    assert header.endswith(f"expires={EXPIRES},signature={KNOWN_ANSWERS[target]}")


@pytest.mark.parametrize("target", KNOWN_ANSWERS)
def test_the_simulator_expects_the_known_answer(target: str) -> None:
    assert signature.sign("GET", target, b"", EXPIRES, SECRET) == KNOWN_ANSWERS[target]


@pytest.mark.parametrize("target", KNOWN_ANSWERS)
def test_the_simulator_accepts_what_the_client_sends(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    header = authorization_of_the_client(target, monkeypatch)
    assert signature.is_valid(header, "GET", target, b"", KEY, SECRET, EXPIRES)


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ("authorization", ""),
        ("authorization", "Bearer token"),
        ("authorization", f"EXO2-HMAC-SHA256 credential={KEY},expires={EXPIRES},signature=AAAA"),
        ("method", "POST"),
        ("target", "/v2/zone"),
        ("target", "/v2/ai/deployment?visibility=public"),
        ("target", "/v2/ai/deployment?visibility=private&more=1"),
        ("body", b"{}"),
        ("key", "EXOother"),
        ("secret", "other"),
        ("now", EXPIRES + 1),
    ],
    ids=str,
)
def test_the_simulator_refuses_anything_else(changed: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "/v2/ai/deployment?visibility=private"
    right = {
        "authorization": authorization_of_the_client(target, monkeypatch),
        "method": "GET",
        "target": target,
        "body": b"",
        "key": KEY,
        "secret": SECRET,
        "now": EXPIRES,
    }
    assert signature.is_valid(**right)  # type: ignore[arg-type]
    assert not signature.is_valid(**{**right, changed: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "secret"), [(Simulator.key, "wrong"), ("EXOwrong", Simulator.secret)], ids=["secret", "key"]
)
def test_the_simulator_answers_403_in_the_words_of_the_api(simulator: Simulator, key: str, secret: str) -> None:
    url = f"{simulator.url}/ch-gva-2/v2/ai/deployment"
    response = requests.get(url, auth=ExoscaleV2Auth(key, secret), timeout=5)
    assert response.status_code == 403
    assert response.json() == {"message": "Invalid request signature"}


def test_a_signature_expires_after_ten_minutes() -> None:
    with Simulator(now=lambda: 4e9) as simulator:
        account = configuration("accounts: [{zones: [ch-gva-2]}]", simulator).accounts[0]
        auth = ExoscaleV2Auth(account.api_key.reveal(), account.api_secret.reveal())
        assert requests.get(account.url("ch-gva-2") + "/ai/deployment", auth=auth, timeout=5).status_code == 403
