"""CPUs: what they run, in which mode, on which root."""

from __future__ import annotations

from ..language import Enumeration, Map, State
from .sorts import Cpu, Mm, Pgd


class Mode(Enumeration):
    """Ring 0 or ring 3."""

    KERNEL: Mode
    USER: Mode


class Cpus(State):
    """Per CPU: ``cpu_tlbstate.loaded_mm``, the mode, and the root in CR3."""

    loaded_mm: Map[Cpu, Mm]
    mode: Map[Cpu, Mode]
    cr3: Map[Cpu, Pgd]
