"""How user code is called, run side by side, scored, delivered and remembered."""
