"""Who runs what, and how it gets there."""
