"""An audit as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mapproof.model.machine.geometry import Geometry

from ..text import counted, fold
from .audit import Audit, Finding, Status
from .image import printable
from .like import like
from .offences import Mapping, Offence, describe_size, offences
from .statistics import Statistics, statistics

VERSION = 1
_LINES = 8  # offences of one property, without --all
_OWNERS = 3


def report(audit: Audit, *, every: bool = False, figures: bool = False) -> str:
    """The whole report; ``every``: all offences that were put into words; ``figures``: statistics."""
    lines = [*_heading(audit), ""]
    lines += _verdicts(audit.findings)
    for finding in audit.violated:
        lines += ["", *_violated(finding, audit, every=every)]
    if figures:
        lines += ["", *_regions(audit), "", *_figures(statistics(audit.facts))]
    lines += _not_applicable(audit.findings)
    if audit.problems:
        lines += ["", "could not be read; verdicts are about what could:"]
        lines += [line for problem in audit.problems for line in fold(problem, "  ", "    ")]
    lines += ["", _summary(audit)]
    return "\n".join(lines)


def _heading(audit: Audit) -> Iterator[str]:
    image = audit.image
    release = image.header.get("release")
    isolation = "on" if image.isolation else "off"
    told = [image.geometry.title, f"page table isolation {isolation}"]
    told += [f"Linux {printable(release)}"] if release else []
    yield from fold(f"{image.name}: {', '.join(told)}", "", "  ")
    spaces, roots = len(audit.facts.walk.spaces), len(image.roots)
    yield (
        f"  {counted(spaces, 'address space')}, {counted(roots, 'root')}, "
        f"{counted(len(image.pages), 'table page')}, {counted(_leaves(audit), 'leaf')}"
    ).replace("leafs", "leaves")
    for note in image.header.get("notes") or []:
        yield from fold(printable(str(note)), "  ", "    ")


def _leaves(audit: Audit) -> int:
    weights = audit.facts.alike()
    p = audit.facts.places
    return int(weights[p.kernel != 0].sum() + weights[audit.facts.own_user_leaves()].sum())


def _verdicts(findings: Sequence[Finding]) -> Iterator[str]:
    width = max((len(f.prop.name) for f in findings), default=0)
    for finding in findings:
        name = finding.prop.name.ljust(width)
        if finding.status is Status.VIOLATED:
            yield f"  violated  {name}  {figure(finding)}"
        elif finding.status is Status.HOLDS:
            yield f"  holds     {name}  {finding.found.checked}"


def _not_applicable(findings: Sequence[Finding]) -> Iterator[str]:
    """The properties that say nothing here, by the reason."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        if finding.status in (Status.NOT_APPLICABLE, Status.NOTHING):
            reason = finding.reason or "nothing of that kind is mapped"
            reasons.setdefault(reason, []).append(finding.prop.name)
    if reasons:
        yield ""
        yield "not applicable:"
    for reason, names in reasons.items():
        yield from fold(f"{reason}: {', '.join(dict.fromkeys(names))}", "  ", "    ")


def figure(finding: Finding) -> str:
    """How much violates a property: "26 of 1989845", in bytes where instances have a size."""
    found = finding.found
    unit = " bytes" if in_bytes(finding) else ""
    return f"{found.violated} of {found.checked}{unit}"


def in_bytes(finding: Finding) -> bool:
    """The figures count bytes."""
    return any(p.sort.__name__ == "Extent" for p in finding.prop.parameters)


def _violated(finding: Finding, audit: Audit, *, every: bool) -> Iterator[str]:
    yield f"{finding.prop.name}  VIOLATED by {figure(finding)}"
    yield from fold(finding.prop.summary, "  ", "  ")
    found = offences(finding, audit.facts)
    for defect in like(finding, found, audit.image.geometry):
        yield from fold(f"as in {defect.id} of the ledger: {defect.title}", "  ", "    ")
    shown = found if every else found[:_LINES]
    about = ""
    for offence in shown:
        again = offence.about == about  # alike but for where: said once
        about = offence.about
        yield from offence_text(offence, audit.image.geometry, heading=not again)
    if len(found) > len(shown):
        yield f"  and {len(found) - len(shown)} more (--all)"


def offence_text(offence: Offence, geometry: Geometry, *, heading: bool = True) -> Iterator[str]:
    """One offence, a line for each mapping."""
    if offence.about and heading:
        yield from fold(offence.about, "  ", "    ")
    for mapping in _both(offence.mappings):
        yield from fold(
            mapping_text(mapping, geometry), "  " if not offence.about else "    ", "      "
        )


def _both(mappings: Sequence[Mapping]) -> list[Mapping]:
    """What is the same in kernel and user tables as one."""
    if len(mappings) == 2 and replace(mappings[0], half=mappings[1].half) == mappings[1]:
        return [replace(mappings[0], half="both")]
    return list(mappings)


def mapping_text(mapping: Mapping, geometry: Geometry) -> str:
    """A mapping as one line, such as
    "ffffc9000005d000 4K vmalloc RW GLB NX pfn:0x6562, kernel tables of init_mm and 24 others"."""
    owners = list(mapping.owners)
    more = len(owners) - _OWNERS
    who = ", ".join(owners[:_OWNERS]) + (f" and {counted(more, 'other')}" if more > 0 else "")
    end = (
        f"-{geometry.show_va(mapping.va + mapping.bytes - 1)}"
        if mapping.bytes > mapping.page
        else ""
    )
    size = describe_size(mapping.bytes)
    size += f" of {describe_size(mapping.page)} pages" if mapping.bytes > mapping.page else ""
    return (
        f"{geometry.show_va(mapping.va)}{end} {size} {mapping.region} {mapping.flags} "
        f"{geometry.show_pfn(mapping.pfn)}, {mapping.half} tables of {who}"
    )


def _regions(audit: Audit) -> Iterator[str]:
    show = audit.image.geometry.show_va
    yield "regions of this machine:"
    for region in audit.facts.regions.regions:
        yield f"  {show(region.start)}-{show(region.end - 1)} {region.name}"


def _figures(found: Statistics) -> Iterator[str]:
    yield "mappings in the kernel's tables, of all address spaces:"
    yield f"  {'region':<16} {'page':>5} {'type':<4} {'key':>3} {'leaves':>12} {'bytes':>10}"
    for row in found.rows:
        yield (
            f"  {row.region:<16} {describe_size(row.page):>5} {row.type:<4} {row.key or '':>3} "
            f"{row.leaves:>12} {describe_size(row.bytes):>10}"
        )
    yield f"frames that several 4K leaves map: {found.aliased}"
    user, kernel = found.writable_code
    yield f"leaves that are writable and executable: {kernel} of the kernel half, {user} of user halves"
    for region, size in found.shown.items():
        yield f"in user tables of {region}: {describe_size(size)}"


def _summary(audit: Audit) -> str:
    count = {s: sum(f.status is s for f in audit.findings) for s in Status}
    told = [f"{count[s]} {s}" for s in Status if count[s]]
    if audit.problems:
        told.append(counted(len(audit.problems), "problem"))
    return f"{', '.join(told)} in {audit.seconds:.2f} s"


def audit_json(audits: Sequence[Audit]) -> str:
    """The audits as one JSON document."""
    return json.dumps({"version": VERSION, "audits": [_audit(a) for a in audits]}, indent=2)


def _audit(audit: Audit) -> dict[str, Any]:
    image = audit.image
    return {
        "snapshot": image.name,
        "geometry": image.geometry.name,
        "isolation": image.isolation,
        "roots": len(image.roots),
        "table_pages": len(image.pages),
        "findings": [_finding(f, audit) for f in audit.findings],
        "problems": audit.problems,
        "regions": [
            {
                "name": region.name,
                "first": image.geometry.show_va(region.start),
                "last": image.geometry.show_va(region.end - 1),
            }
            for region in audit.facts.regions.regions
        ],
        "statistics": _statistics(statistics(audit.facts)),
        "seconds": round(audit.seconds, 3),
    }


def _finding(finding: Finding, audit: Audit) -> dict[str, Any]:
    geometry = audit.image.geometry
    found = offences(finding, audit.facts) if finding.found.violated else []
    return {
        "property": finding.prop.name,
        "status": str(finding.status),
        "violated": finding.found.violated,
        "checked": finding.found.checked,
        "unit": "bytes" if in_bytes(finding) else "instances",
        "reason": finding.reason or None,
        "defects": [d.id for d in like(finding, found, geometry)],
        "offences": [
            {"about": o.about or None, "mappings": [_mapping(m, geometry) for m in o.mappings]}
            for o in found
        ],
    }


def _mapping(mapping: Mapping, geometry: Geometry) -> dict[str, Any]:
    return {
        "va": geometry.show_va(mapping.va),
        "bytes": mapping.bytes,
        "page": mapping.page,
        "tables": mapping.half,
        "region": mapping.region,
        "pfn": mapping.pfn,
        "flags": mapping.flags,
        "entry": f"{mapping.word:#x}",
        "owners": list(mapping.owners),
    }


def _statistics(found: Statistics) -> dict[str, Any]:
    return {
        "rows": [
            {
                "region": r.region,
                "page": r.page,
                "type": r.type,
                "key": r.key,
                "leaves": r.leaves,
                "different": r.different,
                "bytes": r.bytes,
            }
            for r in found.rows
        ],
        "aliased_frames": found.aliased,
        "writable_code": {"user": found.writable_code[0], "kernel": found.writable_code[1]},
        "kernel_memory_in_user_tables": found.shown,
    }
