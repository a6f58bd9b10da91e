"""Measurements of speed, each beside what it is compared with: `python -m benchmarks` from the project's folder."""
