"""The version of `trm`."""

__version__ = "0.1.0"
