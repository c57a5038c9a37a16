"""The documented import and command of exported networks; they are written in `mnv1.net.export`."""

from mnv1.base import console
from mnv1.net.export import ExportError, export, main

__all__ = ["ExportError", "export"]

if __name__ == "__main__":
    console.run(main)
