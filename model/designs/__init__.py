"""Named compositions: what a series proposed, what was merged, what was broken."""
