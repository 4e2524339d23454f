"""The commands: what each takes, and what it prints.  ``cli.py`` gathers them."""
