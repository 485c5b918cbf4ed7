"""The tests of the package; run them with `python -m pytest` from the repository's root."""
