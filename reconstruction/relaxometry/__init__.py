"""Relaxation times and their uncertainties from series of images."""
