"""What must hold, one family of properties per file."""

if __name__ != "mapproof.properties":
    raise ImportError("import this package as 'mapproof.properties', not 'properties'")
