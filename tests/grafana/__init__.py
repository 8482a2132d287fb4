"""The dashboards: their rules, their queries in a real Prometheus, and a picture of them."""
