"""What the kernel and the machine do."""

if __name__ != "mapproof.model":
    raise ImportError("import this package as 'mapproof.model', not 'model'")
