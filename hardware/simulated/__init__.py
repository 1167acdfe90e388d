"""The simulated scanner: plays Pulseq on the isochromats of a phantom."""
