"""The report that a reader can check."""
