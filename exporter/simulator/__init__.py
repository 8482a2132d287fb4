"""A small Exoscale API for `--demo` and for tests: real HTTP, real signatures, a fleet that changes, and faults."""
