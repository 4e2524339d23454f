"""Which rows of the ledger show in an audit as a finding does."""

from __future__ import annotations

from collections.abc import Sequence

from mapproof.model.machine.geometry import Geometry
from mapproof.proofs.ledger import Defect, defects

from .audit import Finding
from .offences import Offence


def like(finding: Finding, found: Sequence[Offence], geometry: Geometry) -> list[Defect]:
    """Defects that violate the property on such a machine, by mappings of those regions only."""
    regions = {m.region for offence in found for m in offence.mappings}
    return [
        defect
        for defect in defects().values()
        if found
        and (seen := defect.seen) is not None
        and geometry.name in seen.geometries
        and finding.prop.name in seen.properties
        and (not seen.regions or regions <= set(seen.regions))
    ]
