"""The remote shell rsync is told to use: hands rsync's pipes to the server process that started it.

Run as a program: ``rsync -e 'python rsync_bridge.py' …`` with an inherited socket whose number is in MJ_BRIDGE_FD.
Sends the command rsync wants on the node, with its own stdin and stdout, then exits as told.
"""

import os
import socket
import sys


def main() -> int:
    with socket.socket(fileno=int(os.environ["MJ_BRIDGE_FD"])) as server:
        socket.send_fds(server, ["\0".join(sys.argv[2:]).encode("utf-8", "surrogateescape")], [0, 1])
        os.close(0)
        os.close(1)
        answer = server.recv(1)
    return answer[0] if answer else 255


if __name__ == "__main__":
    sys.exit(main())
