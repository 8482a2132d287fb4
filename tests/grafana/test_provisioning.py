"""What Grafana is given to find the dashboards and a Prometheus."""

import yaml

from tests.grafana.boards import FOLDER


def test_grafana_is_told_where_the_dashboards_are() -> None:
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/dashboards.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False


def test_grafana_is_told_of_a_prometheus_and_how_often_it_scrapes() -> None:
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/datasource.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True
    scraped = yaml.safe_load((FOLDER.parent / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
