"""return_main, in processes of its own on the server."""
