"""Which key ioremap(), memremap(), memremap_pages() and DAX give to memory that is not the kernel's own.

Tables and data of the firmware and of a boot loader are written with the guest's key in an SEV guest,
and with none in a host with SME, where the key begins with the kernel.  What is on a device, persistent
memory included, never has the guest's key.  The kernel finds out what a range is by several lists: the
resource tree, the EFI memory map, E820, the chain of setup_data.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Opt,
    Sort,
    State,
    Step,
    ite,
    operation,
    some,
)
from .enc_pgtable import Key


class Range(Sort):
    """A page of memory that is not RAM of the allocator."""


class Kind(Enumeration):
    """What a range is: setup_data of the boot loader, and the end of one, which ``len`` does not count;
    EFI runtime data; boot services data that efi_mem_reserve() keeps; an ACPI table; registers of a
    device; persistent memory."""

    SETUP_DATA: Kind
    SETUP_DATA_END: Kind
    EFI_RUNTIME: Kind
    EFI_RESERVED: Kind
    ACPI_TABLE: Kind
    DEVICE: Kind
    PMEM: Kind


class Machine(Enumeration):
    """A host with SME, or a guest with SEV."""

    HOST: Machine
    GUEST: Machine


class Via(Enumeration):
    """What maps a range: ioremap(), memremap() or early_memremap(), memremap_pages(), a user's fault."""

    IOREMAP: Via
    MEMREMAP: Via
    DEVMAP: Via
    DAX: Via


class EncIoremap(State):
    """kind: of a range.  leaf: how it is mapped; private means that the C-bit is set, also in a host."""

    machine: Fun[tuple[()], Machine]
    kind: Fun[Range, Kind]
    leaf: Map[tuple[Via, Range], Opt[Key]]

    def on_device(self, r: Range) -> Bool:
        """Whoever is at the other end writes to it without the key."""
        return (self.kind[r] == Kind.DEVICE) | (self.kind[r] == Kind.PMEM)

    def contents(self, r: Range) -> Key:
        """The key that it was written with: before the kernel runs, a guest has one and a host none."""
        keyless = self.on_device(r) | (self.machine[()] == Machine.HOST)
        return ite(keyless, Key.SHARED, Key.PRIVATE)

    def is_guest(self) -> Bool:
        """CC_ATTR_GUEST_MEM_ENCRYPT."""
        return self.machine[()] == Machine.GUEST

    def map(self, via: Via, r: Range, private: Bool) -> Step:
        """A new mapping."""
        key = ite(private, Key.PRIVATE, Key.SHARED)
        return Step(when=self.leaf[via, r].is_none, then=[self.leaf.set((via, r), some(key))])


@operation(kernel="arch/x86/mm/mem_encrypt_identity.c: sme_enable()")
def boot(s: EncIoremap) -> Step:
    """Nothing is mapped."""
    return Step(when=TRUE, then=[s.leaf.fill(lambda via, r: NONE)])


@operation(
    kernel="mm/vmalloc.c: vunmap(); mm/memremap.c: memunmap_pages(); mm/memory.c: zap_pte_range()"
)
def unmap(s: EncIoremap, via: Via, r: Range) -> Step:
    """A mapping goes, with what TLBs have of it; that of persistent memory after its users'."""
    used = (via == Via.DEVMAP) & s.leaf[Via.DAX, r].is_some
    return Step(when=s.leaf[via, r].is_some & ~used, then=[s.leaf.set((via, r), NONE)])


def _ioremap(s: EncIoremap, r: Range, *, knows_reserved: bool) -> Step:
    kind = s.kind[r]
    setup = (kind == Kind.SETUP_DATA) | (kind == Kind.SETUP_DATA_END)
    efi = kind == Kind.EFI_RUNTIME
    if knows_reserved:
        efi |= kind == Kind.EFI_RESERVED
    mapped = s.map(Via.IOREMAP, r, s.is_guest() & (efi | (kind == Kind.ACPI_TABLE)))
    return Step(when=mapped.when & ~setup & (kind != Kind.PMEM), then=mapped.then)


@operation(kernel="arch/x86/mm/ioremap.c: __ioremap_check_encrypted(), __ioremap_check_other()")
def ioremap(s: EncIoremap, r: Range) -> Step:
    """With the key in a guest, if the resource tree has a description, or the EFI map says that it is
    runtime data, or boot data that is kept; setup_data is RAM, and refused, and nobody asks for
    persistent memory."""
    return _ioremap(s, r, knows_reserved=True)


# S-12: boot services data that efi_mem_reserve() had kept were not recognised.
@operation(kernel="arch/x86/mm/ioremap.c: __ioremap_check_other() before 5.10.46", name="ioremap")
def ioremap_reserved_without_key(s: EncIoremap, r: Range) -> Step:
    """The same, but of EFI's data only the runtime's are known."""
    return _ioremap(s, r, knows_reserved=False)


def _memremap(s: EncIoremap, r: Range, *, knows_end: bool) -> Step:
    kind = s.kind[r]
    setup = kind == Kind.SETUP_DATA
    if knows_end:
        setup |= kind == Kind.SETUP_DATA_END
    efi = (kind == Kind.EFI_RUNTIME) | (kind == Kind.EFI_RESERVED)
    outside = (kind == Kind.PMEM) | ((kind == Kind.ACPI_TABLE) & ~s.is_guest())
    keyless = ((setup | efi) & ~s.is_guest()) | outside
    mapped = s.map(Via.MEMREMAP, r, ~keyless)
    return Step(when=mapped.when & (kind != Kind.DEVICE), then=mapped.then)


@operation(
    kernel="arch/x86/mm/ioremap.c: early_memremap_pgprot_adjust(), arch_memremap_can_ram_remap()"
)
def memremap(s: EncIoremap, r: Range) -> Step:
    """Without the key in a host, if it is setup_data or EFI's; without it anywhere, if it is persistent
    memory, or, in a host, outside of usable memory; otherwise with it."""
    return _memremap(s, r, knows_end=True)


# S-09: a range was compared with setup_data's ``len``, which does not count the header.
@operation(kernel="arch/x86/mm/ioremap.c: memremap_is_setup_data() before 6.1.119", name="memremap")
def memremap_without_header(s: EncIoremap, r: Range) -> Step:
    """The same, but the end of setup_data, as long as its header, is not known as such."""
    return _memremap(s, r, knows_end=False)


def _devmap(s: EncIoremap, r: Range, *, fs_dax: Bool, p2pdma: Bool) -> Step:
    """memremap_pages(): pgprot_decrypted() for which of its types."""
    pmem = s.kind[r] == Kind.PMEM
    mapped = s.map(Via.DEVMAP, r, ~ite(pmem, fs_dax, p2pdma))
    return Step(when=mapped.when & s.on_device(r), then=mapped.then)


@operation(kernel="mm/memremap.c: memremap_pages(), with pgprot_decrypted() for all of a device")
def memremap_pages(s: EncIoremap, r: Range) -> Step:
    """Persistent memory (MEMORY_DEVICE_FS_DAX) without the key, and memory of PCI devices too."""
    return _devmap(s, r, fs_dax=TRUE, p2pdma=TRUE)


# S-05: PAGE_KERNEL has the key.
@operation(kernel="mm/memremap.c: memremap_pages() before 6.0.9", name="memremap_pages")
def memremap_pages_with_key(s: EncIoremap, r: Range) -> Step:
    """Persistent memory with the key."""
    return _devmap(s, r, fs_dax=FALSE, p2pdma=TRUE)


# S-05-pci: of MEMORY_DEVICE_PCI_P2PDMA only the memory type is changed.
@operation(kernel="mm/memremap.c: memremap_pages() of Linux 6.1", name="memremap_pages")
def memremap_pages_merged(s: EncIoremap, r: Range) -> Step:
    """Persistent memory without the key, memory of PCI devices with it."""
    return _devmap(s, r, fs_dax=TRUE, p2pdma=FALSE)


def _dax(s: EncIoremap, r: Range, private: Bool) -> Step:
    mapped = s.map(Via.DAX, r, private)
    return Step(when=mapped.when & (s.leaf[Via.DEVMAP, r].is_some), then=mapped.then)


@operation(kernel="fs/dax.c: dax_iomap_pte_fault(), with the key of the kernel's mapping")
def dax_fault(s: EncIoremap, r: Range) -> Step:
    """A user maps a page of a file in persistent memory, without the key."""
    pmem = s.kind[r] == Kind.PMEM
    mapped = _dax(s, r, FALSE)
    return Step(when=mapped.when & pmem, then=mapped.then)


# S-05-user: vm_page_prot comes from protection_map, which has the key.
@operation(kernel="mm/memory.c: vmf_insert_mixed(), with vma->vm_page_prot", name="dax_fault")
def dax_fault_merged(s: EncIoremap, r: Range) -> Step:
    """A user maps a page of a file in persistent memory, with the key."""
    pmem = s.kind[r] == Kind.PMEM
    mapped = _dax(s, r, TRUE)
    return Step(when=mapped.when & pmem, then=mapped.then)


OPERATIONS = (unmap, ioremap, memremap, memremap_pages, dax_fault)
