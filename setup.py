"""Puts Keyfold's packages into the folder keyfold/_packages of a wheel: docs/adr/0029."""

from setuptools import find_packages, setup

ROOTS = ("ledger", "projections", "commands", "examples", "web")
FOLDER = "keyfold._packages"

found = find_packages(
    include=[pattern for root in ROOTS for pattern in (root, f"{root}.*")],
    exclude=["examples.portal*"],  # a program of its own, to be copied
)
setup(
    packages=["keyfold", *(f"{FOLDER}.{name}" for name in found)],
    package_dir={f"{FOLDER}.{root}": root for root in ROOTS},
)
