"""What the relaxation time of a series of echoes is called, as the modules of the report know it."""

from knightshift.reconstruction.t2_symbol import T2, T2_STAR, in_symbol, t2_symbol, t2_symbol_of_both

__all__ = ["T2", "T2_STAR", "in_symbol", "t2_symbol", "t2_symbol_of_both"]
