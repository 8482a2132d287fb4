"""Prometheus exporter for Exoscale's AI deployments."""

__version__ = "0.1.0"
PROJECT_URL = "https://github.com/exoscale-ai-exporter/exoscale-ai-exporter"
