"""The machine: page tables and their walk, frames, address spaces, CPUs, geometries."""
