"""A state has one colour, and everybody can tell it from the others."""

import itertools

import pytest

from exporter.inventory import KNOWN_STATES
from grafana import panels, queries
from tests.grafana import boards
from tests.grafana.boards import BOARDS


def test_every_known_state_has_a_colour_and_a_code_of_its_own() -> None:
    assert panels.STATE_COLOURS.keys() == queries.STATE_CODES.keys() == {*KNOWN_STATES, queries.OTHER_STATE}
    assert len(set(panels.STATE_COLOURS.values())) == len(panels.STATE_COLOURS)


@pytest.mark.parametrize("board", BOARDS)
def test_a_state_has_the_same_colour_everywhere(board: str) -> None:
    for panel in boards.panels(board):
        config = panel["fieldConfig"]
        mappings = [*config["defaults"].get("mappings", [])]
        for override in config["overrides"]:
            for setting in override["properties"]:
                if setting["id"] == "mappings":
                    mappings += setting["value"]
                if setting["id"] == "color":
                    assert setting["value"]["fixedColor"] == panels.STATE_COLOURS[override["matcher"]["options"]]
        for mapping in mappings:
            for code, result in mapping["options"].items():
                if result["text"] in panels.STATE_COLOURS:
                    assert result["color"] == panels.STATE_COLOURS[result["text"]]
                    assert int(code) == queries.STATE_CODES[result["text"]]


DEFICIENCIES = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
"""What an eye makes of linear red, green and blue (Machado, Oliveira and Fernandes, 2009, severity 1.0)."""


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_colour_blind_can_tell_any_two_states_apart(deficiency: str) -> None:
    """By twenty times the least difference (CIE 1976) that is seen."""
    seen = {state: _lab(colour, DEFICIENCIES[deficiency]) for state, colour in panels.STATE_COLOURS.items()}
    for (one, first), (other, second) in itertools.combinations(seen.items(), 2):
        distance = sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5
        assert distance > 20, f"{one} and {other}: {distance:.0f}"


def _lab(colour: str, eye: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    coded = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in coded]
    red, green, blue = (min(1, max(0, sum(m * v for m, v in zip(row, linear, strict=True)))) for row in eye)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    fx, fy, fz = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)
