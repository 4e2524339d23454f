"""Page tables of real machines: reading memory images, walking, and what the tables come to.

``ptsnap`` reads and writes the compact format, ``walk`` finds every leaf of every address space,
``facts`` presents them as the state of ``mapproof.model.machine.snapshot``, ``audit`` evaluates the
properties.
"""
