"""Maps the top-level folders into one namespace: ``model/`` is ``mapproof.model``, and so on."""

from setuptools import find_packages, setup

FOLDERS = ("model", "properties", "proofs")

mapped = find_packages(include=[p for folder in FOLDERS for p in (folder, f"{folder}.*")])
own = find_packages(include=["mapproof", "mapproof.*"])

setup(
    packages=sorted({*own, *(f"mapproof.{package}" for package in mapped)}),
    package_dir={f"mapproof.{folder}": folder for folder in FOLDERS},
)
