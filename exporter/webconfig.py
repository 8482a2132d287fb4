"""The file of `--web.config.file`: TLS, response headers, basic auth, in the format of Prometheus's exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md – what Python's ssl cannot do is
refused with a sentence, never ignored.
"""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import msgspec

from exporter import configfile
from exporter.errors import ConfigError

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_BCRYPT = re.compile(r"\$2[abxy]?\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_HEADERS = {
    "Content-Security-Policy": r".*",
    "Strict-Transport-Security": r".*",
    "X-Content-Type-Options": r"nosniff|",
    "X-Frame-Options": r"deny|sameorigin|",
    "X-XSS-Protection": r".*",
}
"""The headers that exporter-toolkit lets a file set, and the values it accepts."""


@dataclass(frozen=True)
class WebConfig:
    """What the file says. `files` are all that were read for it: when one changes, it is to be read again."""

    tls: ssl.SSLContext | None
    headers: dict[str, str]
    users: dict[str, bytes]
    files: tuple[Path, ...]


class _TLS(msgspec.Struct, forbid_unknown_fields=True):
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: str = ""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    prefer_server_cipher_suites: bool = True
    cipher_suites: list[str] | None = None
    curve_preferences: list[str] | None = None
    client_allowed_sans: list[str] | None = None
    cert: str | None = None
    key: str | None = None
    client_ca: str | None = None


class _HTTP(msgspec.Struct, forbid_unknown_fields=True):
    http2: bool | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tls_server_config: _TLS | None = None
    http_server_config: _HTTP | None = None
    basic_auth_users: dict[str, str] | None = None
    rate_limit: dict[str, object] | None = None


def load(path: Path) -> WebConfig:
    """Reads the file and the certificates it names, relative to its folder. Raises `ConfigError`."""
    file = configfile.parse(configfile.read(path), str(path), _File)
    if file.rate_limit is not None:
        raise ConfigError("rate_limit", "is not supported: --web.max-requests limits the scrapes at once")
    http = file.http_server_config or _HTTP()
    if http.http2:
        raise ConfigError("http_server_config.http2", "is not supported: leave it out or set it to false")
    tls = file.tls_server_config
    context, files = _context(tls, path.parent) if tls else (None, ())
    return WebConfig(context, _headers(http.headers), _users(file.basic_auth_users or {}), (path, *files))


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        place = f"http_server_config.headers.{name}"
        if name not in _HEADERS:
            raise ConfigError(place, f"cannot be set; the headers that can are {', '.join(_HEADERS)}")
        if not re.fullmatch(_HEADERS[name], value) or not value.isprintable():
            raise ConfigError(place, f"{value!r} is not a value of this header")
    return {name: value for name, value in headers.items() if value}


def _users(users: dict[str, str]) -> dict[str, bytes]:
    for name, password in users.items():
        if not name or ":" in name:
            raise ConfigError("basic_auth_users", f"{name!r} is not the name of a user: it is empty or has a colon")
        if not _BCRYPT.fullmatch(password):
            raise ConfigError(f"basic_auth_users.{name}", "not a bcrypt hash, such as `htpasswd -nBC 10 USER` prints")
    return {name: password.encode() for name, password in users.items()}


def _context(tls: _TLS, folder: Path) -> tuple[ssl.SSLContext, tuple[Path, ...]]:
    place = "tls_server_config"
    _refuse_unsupported(tls, place)
    for name in ("cert_file", "key_file"):
        if not getattr(tls, name):
            raise ConfigError(f"{place}.{name}", "missing")
    certificate, key, ca = folder / tls.cert_file, folder / tls.key_file, folder / tls.client_ca_file
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _versions(tls, place)
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    for file, name in ((certificate, "cert_file"), (key, "key_file")):
        configfile.read(file, f"{place}.{name}")
    try:
        # Without a passphrase to give, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(place, f"{certificate} and {key} cannot be used: {_problem(error)}") from None
    verify = _client_auth(tls, place)
    if not tls.client_ca_file:
        return context, (certificate, key)
    configfile.read(ca, f"{place}.client_ca_file")
    try:
        context.load_verify_locations(ca)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{place}.client_ca_file", f"{ca} cannot be used: {_problem(error)}") from None
    context.verify_mode = verify
    return context, (certificate, key, ca)


def _refuse_unsupported(tls: _TLS, place: str) -> None:
    instead = {
        "cipher_suites": "Go's names of ciphers have no meaning here; min_version: TLS13 leaves only strong ones",
        "curve_preferences": "leave it out",
        "client_allowed_sans": "use a client CA of its own",
        "cert": "use cert_file",
        "key": "use key_file",
        "client_ca": "use client_ca_file",
    }
    for key, advice in instead.items():
        if getattr(tls, key) is not None:
            raise ConfigError(f"{place}.{key}", f"is not supported: {advice}")


def _versions(tls: _TLS, place: str) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    for key in ("min_version", "max_version"):
        if getattr(tls, key) not in _VERSIONS:
            raise ConfigError(f"{place}.{key}", f"{getattr(tls, key)!r} is neither TLS12 nor TLS13 (older are broken)")
    lowest, highest = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    if lowest > highest:
        raise ConfigError(f"{place}.min_version", "is above max_version")
    return lowest, highest


def _client_auth(tls: _TLS, place: str) -> ssl.VerifyMode:
    place = f"{place}.client_auth_type"
    if tls.client_auth_type in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"):
        raise ConfigError(
            place, f"{tls.client_auth_type} does not verify, and is not supported: use RequireAndVerifyClientCert"
        )
    verify = _CLIENT_AUTH.get(tls.client_auth_type or "NoClientCert")
    if verify is None:
        raise ConfigError(place, f"{tls.client_auth_type!r} is none of {', '.join(_CLIENT_AUTH)}")
    if verify is ssl.CERT_NONE and tls.client_ca_file:
        raise ConfigError(place, "missing, while there is a client_ca_file")
    if verify is not ssl.CERT_NONE and not tls.client_ca_file:
        raise ConfigError(place, f"{tls.client_auth_type} needs a client_ca_file")
    return verify


def _problem(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
