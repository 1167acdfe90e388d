"""The night: the pass loop, the journal, resume."""
