"""Protocols and the Pulseq programs that they become."""
