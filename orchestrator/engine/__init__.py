"""Decides which machine gets which job, and what follows from what machines and the store say. Reaches no machine."""
