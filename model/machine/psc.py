"""Paging-structure caches: what a CPU remembers of upper-level entries (Intel SDM vol. 3, 4.10.3).

A CPU may cache the table page that a present entry leads to at any time, and go on reading entries
there until it is told to forget.
"""

from __future__ import annotations

from ..language import Map, Opt, State
from .sorts import Cpu, PmdSlot, Pte


class PmdCache(State):
    """The cached PMD entries of one root: the PTE page that each led to."""

    pmd_cache: Map[tuple[Cpu, PmdSlot], Opt[Pte]]
