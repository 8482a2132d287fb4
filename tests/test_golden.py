"""An answer of the API → the exposition, byte for byte: `NAME.json` → `NAME.prom`.

`make golden` writes the expected files anew; what changed is to be read in `git diff`.
"""

import os
from pathlib import Path

import pytest

from exporter import exposition
from exporter.inventory import parse_deployments
from exporter.visit import Visit
from tests.harness import sample_values

FOLDER = Path(__file__).parent / "data" / "golden"

CLAIMS = {
    "reference": "The example of the API's reference page.",
    "empty": "No deployments: the families are there, and the zone's numbers.",
    "fields-missing": "A field that is left out gives no sample, and an empty label.",
    "fields-null": "A field that an older version called nullable is like one that is left out.",
    "model-missing": "The label `model` is the model's name, else its id, else empty.",
    "dates": "Fractions of seconds, offsets, and dates before 1970.",
    "states": "One series for each known state; an unknown one is added, a missing one is `unknown`.",
    "integers": "The ends of int64, zero and negative numbers pass through.",
    "extra-fields": "What the API adds is ignored.",
    "invalid-entries": "Entries that cannot be read or told apart are counted, the others survive.",
    "public": "Public deployments are not the account's own.",
    "labels": "Quotes, backslashes, newlines and other characters in label values.",
}


@pytest.mark.parametrize("name", CLAIMS, ids=str)
def test_golden(name: str) -> None:
    body = (FOLDER / f"{name}.json").read_bytes()
    visit = Visit(
        account="production",
        zone="ch-gva-2",
        at=1777888000.0,
        seconds=0.25,
        outcome=parse_deployments(body, "private"),
        clock_skew=-0.5,
        last_success=1777888000.0,
    )
    text = exposition.encode([visit]).body
    expected = FOLDER / f"{name}.prom"
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_bytes(text)
    assert text == expected.read_bytes()
    assert sample_values(text.decode())


def test_every_golden_file_is_claimed() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CLAIMS)
