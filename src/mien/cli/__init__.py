"""The command line: parse, call the library, print.

One file a command (or group of commands): ``detect``, ``verify``, ``enroll``, ``identify``, ``embed``, ``models``,
``gallery``, ``demo``. What they share: ``app`` puts them together, ``command`` gives each its shared options and its
error handling, ``options`` are those options, ``inputs`` turns arguments into images, ``output`` prints JSON lines,
tables and progress, ``records`` is what JSON lines hold, ``drawing`` and ``fonts`` annotate images, ``parquet`` is
the file that ``embed`` writes, ``portraits`` the demo's photographs, ``interrupts`` is Ctrl-C where work must not be
cut in two.
"""

from mien.cli.app import app, main

__all__ = ["app", "main"]
