"""How claims are settled: search, induction, replay, certificates."""

if __name__ != "mapproof.proofs":
    raise ImportError("import this package as 'mapproof.proofs', not 'proofs'")
