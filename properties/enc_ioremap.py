"""Keys of mappings of devices, firmware data and persistent memory.

What it checks: whatever maps a range gives it the key that it was written with, so all mappings of a
range agree.  Invariants 1 and 6 of encryption, as to memory that is not the kernel's own.
Why it matters: with the wrong key, reads return noise, and writes make noise of what is there.
Kernel precedent: "mm/memremap.c: map FS_DAX device memory as decrypted"; "x86/ioremap: Map EFI-reserved
memory as encrypted for SEV"; "x86/mm: Fix a kdump kernel failure on SME system when CONFIG_IMA_KEXEC=y".
Smallest counterexample: map persistent memory with PAGE_KERNEL (enc-ioremap-dax).
Not covered: ranges of two kinds, RAM that ioremap() refuses, memory types (see ioremap, devmap), TLBs;
TDX, where nothing but an explicit request is mapped private.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.operations.enc_ioremap import EncIoremap, Kind, Machine, Range, Via
from mapproof.model.operations.enc_pgtable import Key


@always
def ranges_have_the_key_of_their_contents(s: EncIoremap, via: Via, r: Range) -> Bool:
    """A range is mapped with the key that it was written with."""
    return s.leaf[via, r].is_some.implies(s.leaf[via, r] == some(s.contents(r)))


@always
def mappings_of_a_range_agree(s: EncIoremap, via: Via, other: Via, r: Range) -> Bool:
    """Two mappings of a range, the user's included, have one key."""
    both = s.leaf[via, r].is_some & s.leaf[other, r].is_some
    return both.implies(s.leaf[via, r] == s.leaf[other, r])


@always
def users_map_what_the_kernel_maps(s: EncIoremap, r: Range) -> Bool:
    """What a user maps is persistent memory that has a memremap_pages(); setup_data and persistent
    memory are not in ioremap()'s area."""
    user = (s.kind[r] == Kind.PMEM) & s.leaf[Via.DEVMAP, r].is_some
    setup = (s.kind[r] == Kind.SETUP_DATA) | (s.kind[r] == Kind.SETUP_DATA_END)
    memory = setup | (s.kind[r] == Kind.PMEM)
    return s.leaf[Via.DAX, r].is_some.implies(user) & (s.leaf[Via.IOREMAP, r].is_none | ~memory)


@step
def mappings_keep_their_key(old: EncIoremap, new: EncIoremap, via: Via, r: Range) -> Bool:
    """While a range is mapped, its key does not change."""
    stays = old.leaf[via, r].is_some & new.leaf[via, r].is_some
    return stays.implies(old.leaf[via, r] == new.leaf[via, r])


@sometimes
def a_user_and_the_kernel_have_persistent_memory(s: EncIoremap, r: Range) -> Bool:
    """A file in persistent memory is mapped by a user, in a guest."""
    both = s.leaf[Via.DAX, r].is_some & s.leaf[Via.DEVMAP, r].is_some
    return both & (s.machine[()] == Machine.GUEST)


@sometimes
def a_guest_has_tables_with_the_key(s: EncIoremap, r: Range) -> Bool:
    """Two functions have mapped an ACPI table of a guest with the key."""
    both = (s.leaf[Via.IOREMAP, r] == some(Key.PRIVATE)) & s.leaf[Via.MEMREMAP, r].is_some
    return both & (s.kind[r] == Kind.ACPI_TABLE)


@sometimes
def a_host_has_setup_data_without_the_key(s: EncIoremap, r: Range, q: Range) -> Bool:
    """A host has mapped setup_data without the key and, as nothing else, its end."""
    start = (s.kind[r] == Kind.SETUP_DATA) & (s.leaf[Via.MEMREMAP, r] == some(Key.SHARED))
    return start & (s.kind[q] == Kind.SETUP_DATA_END) & s.leaf[Via.MEMREMAP, q].is_some


@sometimes
def a_device_is_without_the_key(s: EncIoremap, r: Range) -> Bool:
    """Registers of a device are mapped, in a guest."""
    device = (s.kind[r] == Kind.DEVICE) & (s.machine[()] == Machine.GUEST)
    return device & s.leaf[Via.IOREMAP, r].is_some & s.leaf[Via.DEVMAP, r].is_some
