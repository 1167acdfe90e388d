"""Shipped protocols, scanner limits, scanners and phantoms."""
