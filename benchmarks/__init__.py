"""What the exporter costs, side by side with what one would use instead: `make bench`."""
