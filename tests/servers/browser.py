"""A browser for tests: the command that `BROWSER` names. It logs Alice in at oidc-provider and fetches what comes then.

BROWSER="python -m tests.servers.browser %s"
"""

from __future__ import annotations

import sys
from urllib.parse import parse_qs, urlsplit

import requests

from .login import authorize


def main() -> None:
    url = sys.argv[1]
    (redirect_uri,) = parse_qs(urlsplit(url).query)["redirect_uri"]
    with requests.Session() as session:
        session.trust_env = False
        session.get(authorize(url, redirect_uri), timeout=10)


if __name__ == "__main__":
    main()
