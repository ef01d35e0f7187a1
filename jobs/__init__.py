"""What work there is: values, the law of their moves, versioned folders, the store, and one door to it."""
