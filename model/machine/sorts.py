"""The sorts of every machine: processes, CPUs, threads, frames, table pages by level and their slots.

Table pages of each level are a sort of their own, so that maps lead in one direction only
(Pgd -> P4d -> Pud -> Pmd -> Pte -> Frame) and unbounded queries terminate.
"""

from __future__ import annotations

from typing import ClassVar

from ..language import Sort
from .geometry import PAGE_SHIFT


class Mm(Sort):
    """``struct mm_struct``: one address space."""


class Cpu(Sort):
    """A logical CPU."""


class Task(Sort):
    """``struct task_struct``: one thread."""


class Frame(Sort):
    """A physical page."""

    FIRST_PFN: ClassVar[int] = 0x3A00

    @classmethod
    def show(cls, index: int) -> str:
        return f"pfn:{cls.FIRST_PFN + index:#x}"


class Va(Sort):
    """A page-sized piece of virtual address space; a state's index maps say where it lies."""


class _TablePage(Sort):
    """A page-table page, shown by its address in the direct map."""

    FIRST_PFN: ClassVar[int] = 0x1000
    LEVEL: ClassVar[str] = ""

    @classmethod
    def show(cls, index: int) -> str:
        return f"{cls.LEVEL}@{cls.FIRST_PFN + index << PAGE_SHIFT:x}"


class Pgd(_TablePage):
    """A top-level table page."""

    LEVEL = "pgd"
    FIRST_PFN = 0x1000


class P4d(_TablePage):
    """A P4D page (5-level paging)."""

    LEVEL = "p4d"
    FIRST_PFN = 0x1100


class Pud(_TablePage):
    """A PUD page."""

    LEVEL = "pud"
    FIRST_PFN = 0x1200


class Pmd(_TablePage):
    """A PMD page."""

    LEVEL = "pmd"
    FIRST_PFN = 0x1300


class Pte(_TablePage):
    """A last-level table page."""

    LEVEL = "pte"
    FIRST_PFN = 0x1400


class _Slot(Sort):
    """The index of an entry in a table page."""

    @classmethod
    def show(cls, index: int) -> str:
        return f"[{index}]"


class PgdSlot(_Slot):
    """``pgd_index()``."""


class P4dSlot(_Slot):
    """``p4d_index()``."""


class PudSlot(_Slot):
    """``pud_index()``."""


class PmdSlot(_Slot):
    """``pmd_index()``."""


class PteSlot(_Slot):
    """``pte_index()``."""
