"""nmrglue, imported without what only its own processing, which we do not use, needs of scipy."""

from knightshift.core.slim_imports import called_later

with called_later("scipy.interpolate", "scipy.signal"):
    import nmrglue as ng

__all__ = ["ng"]
