"""Has the program that waits at `SHOWN_PRELOADED` run these arguments, with this process's streams; see `preloaded`.

Imports as little as it can: it is what each command costs. To import `socket` takes as long as all the rest.
"""

import _socket
import os
import sys

folder = os.getcwd()  # noqa: PTH109 - as `socket`
variables = [f"{name}={value}" for name, value in os.environ.items()]
body = "\0".join([folder, str(len(sys.argv) - 1), *sys.argv[1:], *variables]).encode("utf-8", "surrogateescape")
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
served = _socket.socket(_socket.AF_UNIX)
served.connect(os.environ["SHOWN_PRELOADED"])
served.sendmsg([len(body).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
served.sendall(body)
said = served.recv(1)
sys.exit(said[0] if said else 128 + 9)
