"""What the benchmarks compare is comparable, and those of their figures that are no times are held."""

from benchmarks import figures
from benchmarks.__main__ import MEASUREMENTS, RESULTS
from benchmarks.processes import api, exporter, stock
from tests.harness import sample_values


def test_the_usual_way_gives_the_same_series_of_deployments() -> None:
    with api(20, "--listings=1") as upstream, exporter(upstream.url) as ours, stock(upstream.url) as usual:
        found, expected = (
            {
                (name, labels - {("zone", "zz-aaa-0"), ("zone", "z")}): value
                for (name, labels), value in sample_values(served.get().decode()).items()
                if name.startswith("exoscale_ai_deployment_")
            }
            for served in (ours, usual)
        )
    assert len(expected) == 20 * 12
    assert found == expected


def test_the_api_answers_differently_each_time_or_always_the_same() -> None:
    with api(20) as changing, api(20, "--listings=1") as steady:
        assert changing.get() != changing.get()
        assert steady.get() == steady.get()


def test_twenty_scrapes_at_once_ask_once_and_a_hundred_over_one_connection() -> None:
    assert [figure.ratio for figure in figures.sharing()] == [1, 1]


def test_the_results_have_every_measurement() -> None:
    text = RESULTS.read_text(encoding="utf-8")
    assert not [measurement.__name__ for measurement in MEASUREMENTS if f"`{measurement.__name__}`" not in text]
