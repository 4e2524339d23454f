"""Page tables of real machines: reading memory images, walking, and what the tables come to.

``readers`` tells formats apart: ``ptsnap`` reads and writes the compact one; of a dump, ``kernel`` reads
memory by the kernel's addresses, ``roots`` finds the tables and ``extraction`` what else it tells.
``walk`` and ``places`` find every leaf of every address space, ``facts`` presents them as the state of
``mapproof.model.machine.snapshot``, ``audit`` evaluates the properties.
"""
