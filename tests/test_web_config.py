"""TLS, basic auth and headers, by a file in the format of exporter-toolkit."""

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests

from exporter import guard, webconfig
from exporter.cli import main
from exporter.errors import ConfigError
from exporter.guard import LiveWebConfig
from exporter.simulator.server import Simulator
from tests import tls
from tests.harness import Answer, Exporter, Log, configuration, eventually, program
from tests.tls import Certificates

DATA = Path(__file__).parent / "data" / "web-config"
INVALID = sorted(DATA.glob("invalid-*.yml"))
PASSWORD = "correct horse battery staple"  # noqa: S105
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"
USERS = "basic_auth_users: {alice: " + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode() + "}"
NOT_FOR_PROMTOOL = ("inline-certificate", "rate-limit", "http2", "old-version", "cipher-suites", "auth-type-Req")
"""What is refused here though exporter-toolkit takes it, in this version of promtool or another."""


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return tls.make(tmp_path)


@pytest.fixture
def serve(simulator: Simulator, tmp_path: Path) -> Iterator[Any]:
    """Starts an exporter with a web configuration of this text."""
    opened: list[Exporter] = []

    def start(text: str, **options: Any) -> Exporter:
        path = tmp_path / "web.yml"
        path.write_text(text)
        exporter = Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator), web_config=path, **options)
        opened.append(exporter.__enter__())
        return exporter

    yield start
    for exporter in opened:
        exporter.__exit__()


# The file


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_file_ends_the_command_with_2_and_one_sentence_naming_the_place(
    path: Path, certificates: Certificates, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(path, certificates.folder)
    if "certificate-that-is-none" in path.name:
        shutil.copy(DATA / "invalid-unknown-key.yml", certificates.folder)
    expected = path.read_text().partition("\n")[0].removeprefix("# error: ")
    assert main(["--demo", "--web.config.file", str(certificates.folder / path.name)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert expected in printed
    assert simulator.requests == []


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--web.config.file", "nowhere.yml"]) == 2
    assert "nowhere.yml: cannot read nowhere.yml: No such file or directory" in capsys.readouterr().err


VALID = {
    "empty": "",
    "tls": TLS + "}",
    "versions": TLS + ", min_version: TLS13, max_version: TLS13, prefer_server_cipher_suites: false}",
    "client-certificates": TLS + ", client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}",
    "client-certificates-if-given": TLS + ", client_ca_file: ca.crt, client_auth_type: VerifyClientCertIfGiven}",
    "users": USERS,
    "headers": "http_server_config: {http2: false, headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff, "
    "Content-Security-Policy: 'default-src none', Strict-Transport-Security: max-age=1, X-XSS-Protection: ''}}",
}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_file_is_accepted(name: str, certificates: Certificates) -> None:
    path = certificates.folder / "web.yml"
    path.write_text(VALID[name])
    assert webconfig.load(path)


@pytest.mark.e2e
@pytest.mark.parametrize("name", VALID)
def test_promtool_accepts_the_same_files(name: str, certificates: Certificates) -> None:
    path = certificates.folder / "web.yml"
    path.write_text(VALID[name])
    command = [program("promtool"), "check", "web-config", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.e2e
@pytest.mark.parametrize(
    "path", [p for p in INVALID if not any(name in p.name for name in NOT_FOR_PROMTOOL)], ids=lambda path: path.stem
)
def test_what_promtool_refuses_is_refused_here(path: Path, certificates: Certificates) -> None:
    """And the other way round, save where this exporter is stricter on purpose."""
    stricter = (
        "versions-crossed",
        "header-injection",
        "client-ca-that-is-none",
        "user-with-colon",
        "auth-type-without",
    )
    if any(name in path.name for name in stricter):
        with pytest.raises(ConfigError):
            webconfig.load(Path(shutil.copy(path, certificates.folder)))
        return
    copied = shutil.copy(path, certificates.folder)
    command = [program("promtool"), "check", "web-config", copied]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


# TLS


def test_https_with_a_certificate(serve: Any, certificates: Certificates) -> None:
    exporter = serve(TLS + "}")
    answer = exporter.get("/metrics", verify=certificates.bundle)
    assert Answer(answer.text).total("exoscale_ai_up") == 1


def test_a_stranger_s_ca_does_not_trust_it(serve: Any, certificates: Certificates) -> None:
    del certificates
    exporter = serve(TLS + "}")
    with pytest.raises(requests.exceptions.SSLError):
        exporter.get("/metrics", verify=True)


@pytest.mark.parametrize("auth_type", ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven", "NoClientCert"])
def test_client_certificates(serve: Any, certificates: Certificates, auth_type: str) -> None:
    ca = "" if auth_type == "NoClientCert" else ", client_ca_file: ca.crt"
    exporter = serve(TLS + f", client_auth_type: {auth_type}{ca}}}")

    def is_let_in(certificate: str | None) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(exporter.url + "/-/healthy", verify=certificates.bundle, cert=certificate)
                return answer.status_code == 200
        except requests.exceptions.ConnectionError:
            return False

    assert is_let_in(certificates.client)
    assert is_let_in(None) == (auth_type != "RequireAndVerifyClientCert")
    assert is_let_in(certificates.stranger) == (auth_type == "NoClientCert")


@pytest.mark.parametrize(
    ("lowest", "highest", "spoken"),
    [("TLS12", "TLS13", {"TLSv1.2", "TLSv1.3"}), ("TLS13", "TLS13", {"TLSv1.3"}), ("TLS12", "TLS12", {"TLSv1.2"})],
)
def test_versions_of_tls(serve: Any, certificates: Certificates, lowest: str, highest: str, spoken: set[str]) -> None:
    exporter = serve(TLS + f", min_version: {lowest}, max_version: {highest}}}")
    accepted = set()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=certificates.bundle)
        context.minimum_version = context.maximum_version = version
        try:
            with exporter.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                accepted.add(connection.version())
        except OSError:
            pass
    assert accepted == spoken


def test_a_certificate_is_swapped_under_load_and_no_scrape_fails(serve: Any, certificates: Certificates) -> None:
    exporter = serve(TLS + "}")
    failures: list[Exception] = []
    stop = threading.Event()

    def scrape(new_connection: bool) -> None:
        session = requests.Session()
        while not stop.is_set():
            try:
                if new_connection:
                    session.close()
                assert session.get(exporter.url + "/metrics", verify=certificates.bundle, timeout=5).status_code == 200
            except Exception as error:
                failures.append(error)
        session.close()

    def served() -> bytes:
        context = ssl.create_default_context(cafile=certificates.bundle)
        with exporter.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            return connection.getpeercert(binary_form=True) or b""

    threads = [threading.Thread(target=scrape, args=(new,)) for new in (True, True, False)]
    for thread in threads:
        thread.start()
    seen = {served()}
    for _ in range(5):
        certificates.issue()
        seen.add(served())
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(seen) == 6


def test_a_client_ca_takes_effect_without_a_restart(serve: Any, certificates: Certificates) -> None:
    exporter = serve(TLS + "}")
    assert exporter.get("/-/healthy", verify=certificates.bundle).status_code == 200
    exporter.session.close()
    (certificates.folder / "web.yml").write_text(VALID["client-certificates"])
    with pytest.raises(requests.exceptions.ConnectionError):
        exporter.get("/-/healthy", verify=certificates.bundle)


def test_plain_http_on_the_tls_port_is_closed_and_no_traceback(
    serve: Any, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = serve(TLS + "}")
    with exporter.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in connection.recv(4096)
    assert exporter.get("/-/healthy", verify=certificates.bundle).status_code == 200
    assert "Traceback" not in caplog.text


# Reading it again


def test_a_bad_new_file_keeps_the_old_one_and_says_why_once(serve: Any, tmp_path: Path) -> None:
    exporter = serve(USERS)
    (tmp_path / "web.yml").write_text("basic_auth_users: {alice: not-hashed}")
    for _ in range(3):
        assert exporter.get("/-/healthy").status_code == 401
        assert exporter.get("/-/healthy", auth=("alice", PASSWORD)).status_code == 200
    (error,) = exporter.log.of("error")
    assert error["event"] == "web configuration refused, the one before it stays"
    assert "basic_auth_users.alice: not a bcrypt hash" in error["error"]
    (tmp_path / "web.yml").write_text("")
    assert exporter.get("/-/healthy").status_code == 200


def test_a_file_that_vanishes_keeps_the_old_one(serve: Any, tmp_path: Path) -> None:
    exporter = serve(USERS)
    (tmp_path / "web.yml").unlink()
    assert exporter.get("/-/healthy").status_code == 401
    assert exporter.get("/-/healthy", auth=("alice", PASSWORD)).status_code == 200


def test_tls_is_not_switched_on_or_off_while_it_runs(serve: Any, certificates: Certificates) -> None:
    exporter = serve("")
    (certificates.folder / "web.yml").write_text(TLS + "}")
    assert exporter.get("/-/healthy").status_code == 200
    assert "takes a restart" in exporter.log.of("error")[0]["error"]


def test_a_certificate_that_does_not_fit_its_key_yet_keeps_the_old_one(certificates: Certificates) -> None:
    path = certificates.folder / "web.yml"
    path.write_text(TLS + "}")
    live = LiveWebConfig(path, Log().logger)
    before = live.now.tls
    shutil.copy(certificates.folder / "other.key", certificates.folder / "server.key")
    assert live.now.tls is before
    certificates.issue()
    assert live.now.tls is not before


# Basic auth


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/-/reload", "/nothing"])
def test_every_path_is_behind_authentication(serve: Any, path: str) -> None:
    exporter = serve(USERS)
    refused = exporter.get(path)
    assert (refused.status_code, refused.headers["WWW-Authenticate"], refused.text) == (401, "Basic", "Unauthorized.\n")
    assert exporter.get(path, auth=("alice", PASSWORD)).status_code in (200, 404, 405)


@pytest.mark.parametrize(
    "credentials",
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", PASSWORD + "x"),
        ("alice", "x" * 5000),
        ("bob", PASSWORD),
        ("", ""),
        ("Alice", PASSWORD),
        ("alice\0", PASSWORD),
    ],
    ids=lambda credentials: f"{credentials[0]!r} {credentials[1][:8]!r}",
)
def test_wrong_and_unknown_are_refused(serve: Any, credentials: tuple[str, str]) -> None:
    exporter = serve(USERS)
    for _ in range(2):  # from the cache too
        assert exporter.get("/-/healthy", auth=credentials).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ", "Basic !!!", "Basic YWxpY2U=", "Basic /////w==", "Bearer abc", "basic", "x" * 9999],
)
def test_a_header_that_is_no_basic_auth_is_refused(serve: Any, header: str) -> None:
    assert serve(USERS).get("/-/healthy", headers={"Authorization": header}).status_code == 401


def test_a_password_costs_its_bcrypt_once_and_an_unknown_user_as_much(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []
    real = bcrypt.checkpw

    def counting(password: bytes, hashed: bytes) -> bool:
        checked.append(int(hashed.split(b"$")[2]))
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    exporter = serve(USERS)
    for _ in range(5):
        exporter.get("/-/healthy", auth=("alice", PASSWORD))
    assert checked == [4]
    for _ in range(5):
        exporter.get("/-/healthy", auth=("alice", "wrong"))
    assert checked == [4, 4]
    for name in ("bob", "carol", "bob"):
        exporter.get("/-/healthy", auth=(name, PASSWORD))
    assert checked == [4, 4, 4, 4], "each unknown user costs one check of the same cost"


def test_the_cache_of_checks_is_bounded(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CACHED_CHECKS", 3)
    checked: list[bytes] = []

    def matches(password: bytes, _hashed: bytes) -> bool:
        checked.append(password)
        return False

    monkeypatch.setattr(guard, "_matches", matches)
    exporter = serve(USERS)
    for password in ("a", "b", "c", "d", "d", "a"):
        exporter.get("/-/healthy", auth=("alice", password))
    assert checked == [b"a", b"b", b"c", b"d", b"a"]


def test_a_changed_password_is_in_force_at_once(serve: Any, tmp_path: Path) -> None:
    exporter = serve(USERS)
    assert exporter.get("/-/healthy", auth=("alice", PASSWORD)).status_code == 200
    (tmp_path / "web.yml").write_text(
        f"basic_auth_users: {{alice: {bcrypt.hashpw(b'new', bcrypt.gensalt(4)).decode()}}}"
    )
    assert exporter.get("/-/healthy", auth=("alice", PASSWORD)).status_code == 401
    assert exporter.get("/-/healthy", auth=("alice", "new")).status_code == 200


def test_a_user_or_password_beyond_ascii(serve: Any) -> None:
    hashed = bcrypt.hashpw("pässword ✓".encode(), bcrypt.gensalt(4)).decode()
    exporter = serve(f"basic_auth_users: {{ünïcode: {hashed}}}")
    auth = ("ünïcode".encode(), "pässword ✓".encode())
    assert exporter.get("/-/healthy", auth=auth).status_code == 200


def test_wrong_passwords_do_not_hold_up_who_is_known(serve: Any) -> None:
    """A check takes a while at this cost, and there are twenty of them in the queue."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    exporter = serve(f"basic_auth_users: {{alice: {hashed}}}")
    assert exporter.get("/-/healthy", auth=("alice", PASSWORD)).status_code == 200
    attackers = [
        threading.Thread(target=requests.get, args=(exporter.url + "/-/healthy",), kwargs={"auth": ("alice", str(n))})
        for n in range(20)
    ]
    for attacker in attackers:
        attacker.start()
    time.sleep(0.1)
    assert exporter.get("/metrics", auth=("alice", PASSWORD)).status_code == 200
    assert any(attacker.is_alive() for attacker in attackers), "they are still waiting"
    for attacker in attackers:
        attacker.join()


# Headers


def test_headers_are_on_every_answer_and_the_page_keeps_its_own(serve: Any) -> None:
    exporter = serve(VALID["headers"] + "\n" + USERS)
    for path in ("/metrics", "/nothing", "/-/healthy"):
        for auth in (("alice", PASSWORD), None):
            headers = exporter.get(path, auth=auth).headers
            assert headers["X-Frame-Options"] == "deny"
            assert headers["Content-Security-Policy"] == "default-src none"
            assert "X-XSS-Protection" not in headers
    page = exporter.get("/", auth=("alice", PASSWORD)).headers
    assert "sha256-" in page["Content-Security-Policy"]


def test_a_web_configuration_that_is_only_looked_at_when_it_changes(
    serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loads: list[Path] = []
    real = webconfig.load

    def load(path: Path) -> webconfig.WebConfig:
        loads.append(path)
        return real(path)

    monkeypatch.setattr(webconfig, "load", load)
    exporter = serve(USERS)
    for _ in range(5):
        exporter.get("/-/healthy")
    assert len(loads) == 1
    (tmp_path / "web.yml").write_text(USERS + "\n# changed\n")
    eventually(lambda: exporter.get("/-/healthy").status_code == 401 and len(loads) == 2)
