"""What the suite doesn't inherit from whoever runs it: variables that change what the library or Python itself does.

With them a fault is hidden from the one who has them, or seen by nobody else: where `PYTHONUNBUFFERED` is set, nothing
is left to be written at a program's exit. The programs that tests start get what's left, and what a test gives them.
"""

from __future__ import annotations

from collections.abc import MutableMapping

__all__ = ["clear"]

_PREFIXES = ("PYTHON", "OAUTH_", "XDG_")
_KEPT = {"PYTHONPATH", "PYTHONHOME"}
"""Where the package and the standard library are."""
_OTHERS = {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
    *("BROWSER", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"),
}
"""In capitals; those of proxies are read in small letters, too."""


def clear(environ: MutableMapping[str, str]) -> list[str]:
    """Remove them; return the names of those that were there, sorted."""
    names = [name for name in environ if name.startswith(_PREFIXES) or name.upper() in _OTHERS]
    cleared = sorted(set(names) - _KEPT)
    for name in cleared:
        del environ[name]
    return cleared
