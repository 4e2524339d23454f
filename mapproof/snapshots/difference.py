"""What differs between two snapshots of the same kind of machine."""

from __future__ import annotations

from dataclasses import dataclass

from .audit import Audit, Status
from .report import figure
from .statistics import Row, statistics


@dataclass(frozen=True)
class Difference:
    """Findings that are not the same, and rows of the statistics that are not, each before and after;
    address spaces that only one has, by name."""

    findings: list[tuple[str, str, str]]
    rows: list[tuple[str, int, int]]
    gone: list[str]
    new: list[str]

    @property
    def any(self) -> bool:
        return bool(self.findings or self.rows or self.gone or self.new)


def difference(before: Audit, after: Audit) -> Difference:
    """Compare two audits with the same properties."""
    findings = []
    later = {f.prop.name: f for f in after.findings}
    for old in before.findings:
        new = later[old.prop.name]
        told = [str(f.status) for f in (old, new)]
        if Status.VIOLATED in (old.status, new.status):
            told = [
                f"{f.status} {figure(f)}" if f.status is Status.VIOLATED else str(f.status)
                for f in (old, new)
            ]
        if told[0] != told[1]:
            findings.append((old.prop.name, told[0], told[1]))
    tables = [{_key(r): r.leaves for r in statistics(a.facts).rows} for a in (before, after)]
    names = [
        {name.partition(":")[0] for s in a.facts.walk.spaces for name in s.kernel.names}
        for a in (before, after)
    ]
    return Difference(
        findings,
        [
            (key, tables[0].get(key, 0), tables[1].get(key, 0))
            for key in sorted(tables[0].keys() | tables[1].keys())
            if tables[0].get(key, 0) != tables[1].get(key, 0)
        ],
        sorted(names[0] - names[1]),
        sorted(names[1] - names[0]),
    )


def _key(row: Row) -> str:
    from .offences import describe_size

    key = f" key {row.key}" if row.key else ""
    return f"{row.region} {describe_size(row.page)} {row.type}{key}"


def difference_text(before: Audit, after: Audit, found: Difference) -> str:
    """The difference as text."""
    lines = [f"{before.image.name} -> {after.image.name}"]
    if not found.any:
        return "\n".join([*lines, "  no difference"])
    for title, names in (("gone", found.gone), ("new", found.new)):
        if names:
            lines.append(f"  {title}: {', '.join(names)}")
    if found.findings:
        lines += ["", "properties:"]
        for name, old, new in found.findings:
            lines += [f"  {name}", f"    {old} -> {new}"]
    if found.rows:
        lines += ["", "leaves in the kernel's tables, of all address spaces:"]
        width = max(len(key) for key, *_ in found.rows)
        for key, a, b in found.rows:
            lines.append(f"  {key.ljust(width)} {a:>10} -> {b:>10}  {b - a:+d}")
    return "\n".join(lines)


def difference_json(found: Difference) -> dict[str, object]:
    """The difference for a JSON document."""
    return {
        "findings": [
            {"property": name, "before": old, "after": new} for name, old, new in found.findings
        ],
        "mappings": [{"what": key, "before": old, "after": new} for key, old, new in found.rows],
        "gone": found.gone,
        "new": found.new,
    }
