"""What is said over HTTP: the API, the page, and, apart from both, what runners report."""
