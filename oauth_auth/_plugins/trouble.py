"""What has kept a token call from being answered, in words: whose fault it is, and what to do. Pure.

Each HTTP library wraps the same few errors of Python's own, so these are looked for in the chain of what it raised.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from .._record import Record

__all__ = ["Circumstances", "Trouble", "diagnose"]

_MOST_ERRORS = 50
_STATUS = r"(?:Tunnel connection failed: )?(([45]\d\d)\b(?: [A-Za-z '-]{1,50})?)"
"""How the error of a proxy that has answered begins."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG")
"""What versions of OpenSSL say of an answer that isn't TLS."""


class Circumstances(Record):
    """What isn't in an error, and matters all the same."""

    proxy: str | None = None
    """The proxy that the call goes through, without user info; "" if its address isn't known, None if there's none."""
    missing: str | None = None
    """What the environment says of certificates that aren't there."""
    is_own_client: bool = True
    """Whether it isn't the user's `token_client` that sends the call."""


class Trouble(Record):
    """What is said of it, and whether another attempt may help."""

    text: str
    may_pass: bool = True


def diagnose(error: BaseException, url: str, around: Circumstances) -> Trouble | None:
    """Return what has gone wrong with a call of this URL, or None if it's nothing that's known."""
    chain = list(_chain(error))
    certificate = next((one for one in chain if type(one).__name__ == "SSLCertVerificationError"), None)
    if certificate is not None:
        return _about_certificate(certificate, around)
    if around.missing is not None and any(_lacks_certificates(one) for one in chain):
        return Trouble(around.missing, may_pass=False)
    if around.proxy is not None and (trouble := _about_proxy(chain, around.proxy)) is not None:
        return trouble
    host = urlsplit(url).netloc.rpartition("@")[2]
    if any(sign in str(one) for one in chain for sign in _NO_TLS):
        return Trouble(f"{host} doesn't speak TLS: is it http://, or another port?", may_pass=False)
    reason = _of_connection(chain)
    return None if reason is None else Trouble(reason if reason.startswith("timed out") else f"{host} {reason}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and those that it comes from, however the library keeps them."""
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting and len(found) < _MOST_ERRORS:
        one = waiting.pop(0)
        if id(one) in found:
            continue
        found[id(one)] = one
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        parts = (*inner, *getattr(one, "exceptions", ()))
        waiting += [part for part in parts if isinstance(part, BaseException)]


def _of_connection(chain: list[BaseException]) -> str | None:
    """Return what a host has done, as what follows its name; or that the time is over, which says no name."""
    names = " ".join(type(one).__name__ for one in chain)
    if any(isinstance(one, socket.gaierror) for one in chain):
        return "was not found: is the name right, and is there a network?"
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return "refused the connection: nobody listens there"
    if "Timeout" in names:
        what = "connection" if "ConnectTimeout" in names or "ConnectionTimeout" in names else "answer"
        return f"timed out: no {what} in time"
    return None


def _about_certificate(error: BaseException, around: Circumstances) -> Trouble:
    reason = getattr(error, "verify_message", None) or "see the log of the server"
    text = f"its certificate doesn't verify: {reason}. "
    if around.is_own_client:
        text += "Token calls don't use the verify of your session or client: pass token_client=, one that trusts it"
    else:
        text += "The token_client doesn't trust it"
    return Trouble(text if around.missing is None else f"{text}. {around.missing}", may_pass=False)


def _lacks_certificates(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError) or "CA certificate bundle" in str(error)


def _about_proxy(chain: list[BaseException], proxy: str) -> Trouble | None:
    name = f"the proxy {proxy}".rstrip()
    for one in chain:
        if found := re.match(_STATUS, str(one)):
            if found[2] == "407":
                return Trouble(f"{name} wants a login: put user and password into its URL")
            return Trouble(f"{name} refused to connect to the server: {found[1]}")
    reason = _of_connection(chain)
    if reason is not None and not reason.endswith("no answer in time"):
        return Trouble(f"{name} {reason}")
    if any("ProxyError" in type(one).__name__ for one in chain):
        return Trouble(f"{name} failed: {chain[-1]}")
    return None
