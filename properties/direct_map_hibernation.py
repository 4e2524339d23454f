"""The image of hibernation beside pages that are not in the direct map.

What it checks: no secret is in the image.  Invariant 7 of direct-map removal.
Why it matters: the image is on a disk, and stays there.
Kernel precedent: 9a436f8ff631 ("PM: hibernate: disable when there are active secretmem users").
Smallest counterexample: somebody opens a secret file when hibernation_available() has been asked, and
processes are not frozen yet, which is a hypothesis (direct-map-today).
Not covered: that the image is complete, and how it is restored.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.direct_map.frames import DirectMap, Owner, Sleep


@always
def the_image_has_no_secret(s: DirectMap, f: Frame) -> Bool:
    """No page was copied while a secret was in it."""
    return ~s.leaked[f]


@sometimes
def an_image_is_made(s: DirectMap, f: Frame) -> Bool:
    """A process's page is in the image."""
    return s.image[f] & (s.owner[f] == Owner.USER) & (s.sleep.now == Sleep.FROZEN)
