"""Which machines there are: the value, and the file it is read from."""
