"""The client of Multi Job over SSH."""
