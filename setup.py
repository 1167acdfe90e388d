"""Map the rooms at the top of the tree into the ``knightshift`` package (docs/adr/0001-layout.md)."""

from setuptools import find_packages, setup

ROOMS = ("acquisition", "reconstruction", "sequences", "hardware", "configs")

packages = ["knightshift"] + [
    f"knightshift.{name}" for name in find_packages("knightshift", exclude=[f"{room}*" for room in ROOMS])
]
package_dir = {"knightshift": "knightshift"}
for room in ROOMS:
    package_dir[f"knightshift.{room}"] = room
    packages += [f"knightshift.{room}", *(f"knightshift.{room}.{name}" for name in find_packages(room))]

setup(packages=packages, package_dir=package_dir)
