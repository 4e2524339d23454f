"""Page table isolation without PCIDs: how much of the kernel image the user tables get late in boot.

With pti=auto and no PCIDs, pti_finalize() clones everything from _text to __end_rodata, to save TLB
misses.  The pages between sections and those of init text have been freed by then; what is still
mapped at their link addresses would be cloned with the rest.  A page stands for its place in the image.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    State,
    Step,
    Update,
    Var,
    given,
    operation,
)
from ..machine.sorts import Frame


class Section(Enumeration):
    """What a page of the image holds; GAP: the room between text, rodata and data; INIT: init text and
    data, behind rodata."""

    ENTRY_TEXT: Section
    TEXT: Section
    RODATA: Section
    DATA: Section
    GAP: Section
    INIT: Section


class Owner(Enumeration):
    """Whose a page is: the image's, nobody's, or somebody's who got it from the allocator."""

    IMAGE: Owner
    FREE: Owner
    TAKEN: Owner


class Phase(Enumeration):
    """How far boot is: before pti_init(), after it, after free_initmem(), after mark_rodata_ro(), after
    pti_finalize()."""

    BOOT: Phase
    CLONED: Phase
    INIT_FREED: Phase
    READONLY: Phase
    FINAL: Phase


class KernelText(State):
    """kernel, user: the half maps the page at its link address; kernel_g, user_g: with the global bit.
    alias_g: the alias of the page in the direct map has it, which only the kernel's tables have.
    large: under a large page.  global_ok: pti_kernel_image_global_ok(), which asks for pti=auto and no
    PCID, and for neither K8 nor RANDSTRUCT."""

    phase: Var[Phase]
    owner: Map[Frame, Owner]
    kernel: Map[Frame, Bool]
    user: Map[Frame, Bool]
    kernel_g: Map[Frame, Bool]
    user_g: Map[Frame, Bool]
    alias_g: Map[Frame, Bool]
    section: Fun[Frame, Section] = given(lambda scope, f: f % 6)
    large: Fun[Frame, Bool]
    global_ok: Fun[tuple[()], Bool]

    def is_in(self, f: Frame, *sections: Section) -> Bool:
        """The page is of one of these sections."""
        found = FALSE
        for section in sections:
            found = found | (self.section[f] == section)
        return found


@operation(kernel="arch/x86/mm/pti.c: pti_set_kernel_image_nonglobal()")
def boot(s: KernelText) -> Step:
    """The image is mapped and not global; user mode sees nothing of it."""
    return Step(
        when=TRUE,
        then=[
            s.phase.become(Phase.BOOT),
            s.owner.fill(lambda f: Owner.IMAGE),
            s.kernel.fill(lambda f: TRUE),
            s.user.fill(lambda f: FALSE),
            s.kernel_g.fill(lambda f: FALSE),
            s.user_g.fill(lambda f: FALSE),
            s.alias_g.fill(lambda f: FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_init(), pti_clone_entry_text()")
def pti_init(s: KernelText) -> Step:
    """Entry text becomes global and is cloned."""

    def entry(f: Frame) -> Bool:
        return s.is_in(f, Section.ENTRY_TEXT)

    return Step(
        when=s.phase.now == Phase.BOOT,
        then=[
            s.phase.become(Phase.CLONED),
            s.user.fill(lambda f: s.kernel[f], entry),
            s.kernel_g.fill(lambda f: TRUE, entry),
            s.user_g.fill(lambda f: TRUE, entry),
        ],
    )


def _free(s: KernelText, section: Section, *, unmap: bool) -> list[Update]:
    """free_kernel_image_pages(): the allocator gets the pages; unmap: their alias is removed."""
    owner = s.owner.fill(lambda f: Owner.FREE, lambda f: s.is_in(f, section))
    alias = s.kernel.fill(lambda f: FALSE, lambda f: s.is_in(f, section))
    return [owner, alias] if unmap else [owner]


@operation(kernel="arch/x86/mm/init.c: free_initmem(), free_kernel_image_pages()")
def free_initmem(s: KernelText) -> Step:
    """Init text and data go, with their alias."""
    freed = _free(s, Section.INIT, unmap=True)
    return Step(when=s.phase.now == Phase.CLONED, then=[s.phase.become(Phase.INIT_FREED), *freed])


@operation(kernel="arch/x86/mm/init_64.c: mark_rodata_ro(), free_kernel_image_pages()")
def mark_rodata_ro(s: KernelText) -> Step:
    """The gaps between text, rodata and data go, with their alias."""
    freed = _free(s, Section.GAP, unmap=True)
    return Step(when=s.phase.now == Phase.INIT_FREED, then=[s.phase.become(Phase.READONLY), *freed])


# P-09: the alias stayed.
@operation(
    kernel="arch/x86/mm/init_64.c: mark_rodata_ro() before c40a56a7818c", name="mark_rodata_ro"
)
def mark_rodata_ro_with_alias(s: KernelText) -> Step:
    """The gaps between text, rodata and data go, and stay mapped."""
    freed = _free(s, Section.GAP, unmap=False)
    return Step(when=s.phase.now == Phase.INIT_FREED, then=[s.phase.become(Phase.READONLY), *freed])


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: KernelText, f: Frame) -> Step:
    """Somebody takes a free page and writes his data."""
    return Step(when=s.owner[f] == Owner.FREE, then=[s.owner.set(f, Owner.TAKEN)])


def _finalise(s: KernelText, *, alias: bool) -> Step:
    """If that is wanted, clone the image; alias: CPA sets what it is asked for in the direct map too."""

    def cloned(f: Frame) -> Bool:
        image = s.is_in(f, Section.ENTRY_TEXT, Section.TEXT, Section.RODATA, Section.GAP)
        return s.global_ok[()] & image & s.kernel[f]

    def text(f: Frame) -> Bool:
        return cloned(f) & s.is_in(f, Section.ENTRY_TEXT, Section.TEXT)

    def marked(f: Frame) -> Bool:
        return (cloned(f) & s.large[f]) | text(f)

    return Step(
        when=s.phase.now == Phase.READONLY,
        then=[
            s.phase.become(Phase.FINAL),
            s.user.fill(lambda f: TRUE, cloned),
            s.kernel_g.fill(lambda f: TRUE, marked),
            s.user_g.fill(lambda f: TRUE, marked),
            *([s.alias_g.fill(lambda f: TRUE, text)] if alias else []),
        ],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_finalize(), pti_clone_kernel_text(), set_memory_global()")
def pti_finalize(s: KernelText) -> Step:
    """If that is wanted, what is mapped from _text to __end_rodata is cloned; large pages of it become
    global as they are cloned, and all text does, at its link address."""
    return _finalise(s, alias=False)


# change_page_attr_set() looks for aliases of whatever it changes but NX, and cpa_process_alias()
# does the same to the direct map.
@operation(
    kernel="arch/x86/mm/pat/set_memory.c: set_memory_global(), cpa_process_alias() of 6.1",
    name="pti_finalize",
)
def pti_finalize_with_alias(s: KernelText) -> Step:
    """As pti_finalize, but text becomes global in the direct map as well."""
    return _finalise(s, alias=True)
