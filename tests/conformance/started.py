"""What the conformance tool starts as the client: `python started.py PORT URL`.

It hands on what the tool says to the tests, which have the client loaded, and ends as that one has ended.
"""

import json
import os
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection, connection.makefile("rw") as stream:
    told = {name: value for name, value in os.environ.items() if name.startswith("MCP_CONFORMANCE_")}
    stream.write(json.dumps({"url": sys.argv[2], **told}) + "\n")
    stream.flush()
    output = stream.read()
print(output, end="")
sys.exit(output.splitlines()[-1:] != ["done"])
