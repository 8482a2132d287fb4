"""The Grafana dashboards as code: `generate.py` writes what stands in `dashboards/`."""
