"""Measurements of the scanner itself: before the first pass, between passes, and on their own."""
