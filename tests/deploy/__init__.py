"""What users deploy with: the chart and the compose file."""
