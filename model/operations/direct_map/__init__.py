"""Everything that edits the direct map, on one state: ``frames`` is the machine and the rest of the
kernel, ``aliases`` are the other addresses of a page, every other file is one system.

A system is a function of the rules that it keeps (:class:`.frames.Rules`).  Without a rule it does what
was merged, or posted.
"""
