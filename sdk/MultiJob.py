"""The name Multi Job's users import: ``from MultiJob import MultiJob``."""
