"""A model checker for kernel page-table mapping invariants."""

from importlib.metadata import version

__version__ = version("mapproof")
