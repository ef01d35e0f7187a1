"""How fast it is: each module measures one thing and prints JSON lines."""
