"""What the kernel does to its page tables, one file per subsystem."""
