"""kmap() beside supervisor protection keys."""

from __future__ import annotations

from ..language import Design
from ..operations import pks_kmap as op
from ..operations.pks_kmap import PksKmap
from .pks import pks

pks_kmap = Design(
    name="pks-kmap",
    state=PksKmap,
    init=op.boot_kmap,
    operations=[*pks.operations, op.kmap, op.kunmap],
    procedures=pks.procedures,
    scope=pks.scope,
    doc="pks, and kmap(), which is for pages without a key only.",
    source="V9 and V10 of the series, which leave kmap() of protected pages unsupported",
)

pks_kmap_bracket = pks_kmap.replacing(
    op.kmap,
    op.kmap_in_a_bracket,
    name="pks-kmap-bracket",
    doc="pks-kmap, but kmap() is a bracket of the thread that calls it (defect M-01).",
)

pks_kmap_everybody = pks_kmap.replacing(
    op.kmap,
    op.kmap_for_everybody,
    name="pks-kmap-everybody",
    doc="pks-kmap, but kmap() lets the key through for all threads (defect M-01, the other way).",
)
