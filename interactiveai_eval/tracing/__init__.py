"""Spans: what is recorded while user code runs, and how it becomes bytes."""
