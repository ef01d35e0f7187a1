"""``mj demo``: a server, three machines and jobs on one computer, for a first look."""
