"""The version, a constant: no metadata of an installation is asked, for there may be none."""

__version__ = "0.1.0"
