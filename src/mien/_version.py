"""The version, alone in a file so that building mien need not import it."""

__version__ = "0.1.0"
