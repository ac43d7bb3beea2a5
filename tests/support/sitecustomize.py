"""What Python does at its start where the documentation's programs run: it finds the documentation's hosts.

A link to this file is in their environments (see `environment`).
"""

import os
import socket
from typing import Any

if "DOCUMENTED_PROXY" in os.environ:
    _PORT = int(os.environ["DOCUMENTED_PROXY"].rpartition(":")[2])
    _look_up = socket.getaddrinfo

    def _know_proxy(host: Any, *args: Any, **options: Any) -> Any:
        """Have the documentation's proxy be where it is here."""
        if host == "proxy.example.com":
            return _look_up("127.0.0.1", _PORT, type=socket.SOCK_STREAM)
        return _look_up(host, *args, **options)

    socket.getaddrinfo = _know_proxy

    try:
        import aiohttp
    except ImportError:
        pass
    else:
        # Its sessions don't read the environment by themselves, as those of the other libraries do.
        _defaults = aiohttp.ClientSession.__init__.__kwdefaults__
        assert _defaults is not None
        assert _defaults["trust_env"] is False
        _defaults["trust_env"] = True
