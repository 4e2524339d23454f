"""Memory types of pages whose vmap areas are unmapped lazily."""

from __future__ import annotations

from .lazy_purge import LazyPurge
from .pageattr import PageAttr


class TypedAreas(PageAttr, LazyPurge):
    """The areas that owners of pages have are those that purges flush: which range maps which page, what
    state it is in, and what CPUs have cached of it are common."""
