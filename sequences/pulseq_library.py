"""pypulseq, imported without what only its plots need: that would cost every command a second."""

from knightshift.core.slim_imports import called_later

with called_later("matplotlib.pyplot", "scipy.interpolate", "scipy.signal"):
    import pypulseq as pp

__all__ = ["pp"]
