"""One machine's life as the server leads it: contact, folders, packages, its runner. Reaches it through a Transport."""
