"""The configuration: each `invalid-*.yml` says in its first line which sentence it must be refused with."""

from pathlib import Path

import pytest

from exporter import config
from exporter.cli import main
from exporter.config import Account, Config, Scrape
from exporter.errors import ConfigError
from exporter.secret import Secret

FOLDER = Path("tests/data/config")
INVALID = sorted(FOLDER.glob("invalid-*.yml"))
CREDENTIALS = {"EXOSCALE_API_KEY": "EXOenvironment", "EXOSCALE_API_SECRET": "environment-secret"}
NO_CREDENTIALS = (
    "accounts[0]: no credentials: set EXOSCALE_API_KEY and EXOSCALE_API_SECRET, or api_key_file and api_secret_file "
    "in the configuration (or try it with --demo)"
)


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_file_ends_the_command_with_2_and_one_sentence_naming_the_place(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = path.read_text(errors="replace")
    expected = text.partition("\n")[0].removeprefix("# error: ") or NO_CREDENTIALS
    if text and "# without credentials in the environment" not in text:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
    assert main(["--config.file", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("exoscale-ai-exporter: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err


def test_there_are_invalid_files_to_test() -> None:
    assert len(INVALID) > 50


def test_all_of_it() -> None:
    assert config.load(FOLDER / "valid-everything.yml", {}) == Config(
        accounts=(
            Account(
                name="production",
                api_key=Secret("EXOproduction"),
                api_secret=Secret("production-secret"),
                zones=("ch-gva-2", "de-fra-1"),
                visibility="private",
                endpoint="https://api-{zone}.exoscale.com/v2",
            ),
            Account(
                name="shared",
                api_key=Secret("EXOshared"),
                api_secret=Secret("shared-secret"),
                zones=("ch-gva-2", "de-fra-1"),
                visibility="public",
                endpoint="http://127.0.0.1:8080/v2",
            ),
        ),
        scrape=Scrape(timeout=90.0, retries=3, cache=0.5, max_response_bytes=1048576),
    )


def test_without_a_file_the_two_environment_variables_suffice() -> None:
    assert config.load(None, CREDENTIALS) == Config(
        accounts=(
            Account(
                name="default",
                api_key=Secret("EXOenvironment"),
                api_secret=Secret("environment-secret"),
                zones=None,
                visibility="private",
                endpoint="https://api-{zone}.exoscale.com/v2",
            ),
        ),
        scrape=Scrape(timeout=8.0, retries=1, cache=0.0, max_response_bytes=33554432),
    )


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n", "{}", "accounts:\nscrape: {}\n"])
def test_a_file_that_sets_nothing_is_the_default(text: str) -> None:
    assert config.parse(text, CREDENTIALS, Path(), "test.yml") == config.load(None, CREDENTIALS)


def test_a_file_beats_the_environment() -> None:
    environ = {**CREDENTIALS, "EXOSCALE_ZONE": "de-muc-1", "EXOSCALE_API_ENDPOINT": "https://environment.example/v2"}
    text = "accounts: [{api_key: EXOfile, api_secret: file, zones: [hr-zag-1], endpoint: 'https://file.example/v2'}]"
    account = config.parse(text, environ, Path(), "test.yml").accounts[0]
    assert account.api_key == Secret("EXOfile")
    assert account.api_secret == Secret("file")
    assert account.zones == ("hr-zag-1",)
    assert account.url("hr-zag-1") == "https://file.example/v2"


def test_zones_of_the_environment_are_separated_by_commas() -> None:
    account = config.load(None, {**CREDENTIALS, "EXOSCALE_ZONE": " ch-gva-2, de-fra-1,"}).accounts[0]
    assert account.zones == ("ch-gva-2", "de-fra-1")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    environ = {**CREDENTIALS, "EXOSCALE_ZONE": "", "EXOSCALE_API_ENDPOINT": ""}
    assert config.load(None, environ) == config.load(None, CREDENTIALS)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("EXOSCALE_ZONE", ",", "EXOSCALE_ZONE: must name at least one zone"),
        ("EXOSCALE_ZONE", "ch-gva-2,a b", "EXOSCALE_ZONE[1]: 'a b' is not the name of a zone"),
        ("EXOSCALE_API_ENDPOINT", "http://api.example", "EXOSCALE_API_ENDPOINT: plain http is accepted only"),
        ("EXOSCALE_API_SECRET", "", "accounts[0].api_secret: missing, while there is an API key"),
        ("EXOSCALE_API_KEY", "", "accounts[0].api_key: missing, while there is an API secret"),
    ],
)
def test_a_bad_variable_is_named(name: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.load(None, {**CREDENTIALS, name: value})
    assert problem in str(error.value)


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config.file", "nowhere.yml"]) == 2
    assert (
        capsys.readouterr().err
        == "exoscale-ai-exporter: nowhere.yml: cannot read nowhere.yml: No such file or directory\n"
    )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9:8080", "localhost", "ch-gva-2.localhost", "[::1]:8080"], ids=str
)
def test_plain_http_is_accepted_on_loopback(host: str) -> None:
    account = config.load(None, {**CREDENTIALS, "EXOSCALE_API_ENDPOINT": f"http://{host}/v2"}).accounts[0]
    assert account.endpoint == f"http://{host}/v2"


def test_a_zone_that_is_new_since_the_release_is_accepted() -> None:
    assert config.load(None, {**CREDENTIALS, "EXOSCALE_ZONE": "it-mil-1"}).accounts[0].zones == ("it-mil-1",)


@pytest.mark.parametrize(
    ("text", "seconds"), [("8s", 8), ("500ms", 0.5), ("1m30s", 90), ("1h", 3600), ("1m1s1ms", 61.001)]
)
def test_durations(text: str, seconds: float) -> None:
    assert config.parse(f"scrape: {{timeout: {text}}}", CREDENTIALS, Path(), "").scrape.timeout == seconds


def test_a_configuration_that_is_shown_shows_no_secret() -> None:
    shown = repr(config.load(None, CREDENTIALS))
    assert "EXOenvironment" not in shown
    assert "environment-secret" not in shown
    assert str(Secret("environment-secret")) == "Secret(…)"


def test_equal_secrets_are_equal_and_hash_the_same() -> None:
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("b"), Secret("a")}
    assert Secret("a") != "a"
