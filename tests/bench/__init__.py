"""Measurements, run by hand (`python -m tests.bench.run`); they print tables and assert nothing."""
