"""Side-by-side speed measurements (pytest-benchmark); run with `make speed`."""
