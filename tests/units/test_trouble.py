"""What has kept a token call from being answered: a table of what libraries raise, and of what is said of it."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from oauth_auth._plugins.trouble import Circumstances, Trouble, diagnose

URL = "https://user:pw@auth.example:8443/token"
OWN, PROXY = Circumstances(), Circumstances("http://proxy.example:3128")
TOKEN_CLIENT = "Token calls don't use the verify of your session or client: pass token_client=, one that trusts it"
MISSING = "SSL_CERT_FILE names /no/ca.pem, which isn't there"


def error(name: str, *args: Any) -> Exception:
    """Make an error of a library, whose class has this name."""
    made: Exception = type(name, (Exception,), {})(*args)
    return made


def of(inner: BaseException, *outer: str) -> BaseException:
    """Wrap an error in others, in each of the ways in which libraries do it."""
    for number, name in enumerate(outer):
        wrapper = error(name, inner) if number % 3 == 0 else error(name, "text")
        if number % 3 == 1:
            wrapper.__cause__ = inner
        elif number % 3 == 2:
            wrapper.reason = inner  # type: ignore[attr-defined]
        inner = wrapper
    return inner


REFUSED = ConnectionRefusedError(111, "Connection refused")
NOT_FOUND = socket.gaierror(-2, "Name or service not known")
WANTS_LOGIN = OSError("Tunnel connection failed: 407 Proxy Authentication Required")
CERTIFICATE = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
CERTIFICATE.verify_message = "self-signed certificate"
NO_FILE = FileNotFoundError(2, "No such file or directory")

TROUBLE: dict[str, tuple[BaseException, Circumstances, str, bool]] = {
    "not found": (NOT_FOUND, OWN, "auth.example:8443 was not found: is the name right", True),
    "refused": (of(REFUSED, "A", "B", "C", "D"), OWN, "auth.example:8443 refused the connection: nobody", True),
    "refused by all addresses": (
        ExceptionGroup("all failed", [OSError("no route"), REFUSED]),
        OWN,
        "auth.example:8443 refused the connection",
        True,
    ),
    "no connection": (of(TimeoutError(), "ConnectTimeout"), OWN, "timed out: no connection in time", True),
    "no connection, aiohttp": (error("ConnectionTimeoutError"), OWN, "timed out: no connection in time", True),
    "no answer": (error("ReadTimeout", "x"), OWN, "timed out: no answer in time", True),
    "no answer, aiohttp": (error("ServerTimeoutError"), OWN, "timed out: no answer in time", True),
    "no answer through a proxy": (error("ReadTimeout"), PROXY, "timed out: no answer in time", True),
    "no TLS": (
        of(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "SSLError", "MaxRetry"),
        OWN,
        "auth.example:8443 doesn't speak TLS: is it http://, or another port?",
        False,
    ),
    "a certificate": (
        of(CERTIFICATE, "SSLError", "MaxRetryError", "SSLError"),
        OWN,
        f"its certificate doesn't verify: self-signed certificate. {TOKEN_CLIENT}",
        False,
    ),
    "a certificate, token_client": (
        CERTIFICATE,
        Circumstances(is_own_client=False),
        "its certificate doesn't verify: self-signed certificate. The token_client doesn't trust it",
        False,
    ),
    "a certificate, and no file of authorities": (CERTIFICATE, Circumstances(missing=MISSING), f". {MISSING}", False),
    "a certificate through a proxy": (CERTIFICATE, PROXY, "its certificate doesn't verify", False),
    "no file of authorities": (NO_FILE, Circumstances(missing=MISSING), MISSING, False),
    "no file of authorities, requests": (
        OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /no/ca.pem"),
        Circumstances(missing=MISSING),
        MISSING,
        False,
    ),
    "refused by a proxy": (of(REFUSED, "ConnectError"), PROXY, "the proxy http://proxy.example:3128 refused", True),
    "refused by a proxy, requests": (
        of(REFUSED, "ProxyError", "HTTPSConnectionPool(host='auth.example', port=443): Max retries exceeded"),
        PROXY,
        "the proxy http://proxy.example:3128 refused the connection: nobody listens there",
        True,
    ),
    "a proxy that isn't found": (NOT_FOUND, PROXY, "the proxy http://proxy.example:3128 was not found", True),
    "a proxy that times out": (error("ConnectTimeout"), PROXY, "the proxy http://proxy.example:3128 timed out", True),
    "a proxy that wants a login": (
        of(WANTS_LOGIN, "ProxyError", "MaxRetryError", "ProxyError"),
        PROXY,
        "the proxy http://proxy.example:3128 wants a login: put user and password into its URL",
        True,
    ),
    "the same, httpx": (
        error("ProxyError", "407 Proxy Authentication Required"),
        PROXY,
        "the proxy http://proxy.example:3128 wants a login",
        True,
    ),
    "the same, aiohttp": (
        error("ClientHttpProxyError", "407, message='Proxy…'"),
        PROXY,
        "the proxy http://proxy.example:3128 wants a login",
        True,
    ),
    "a proxy that refuses": (
        error("ProxyError", "403 Forbidden"),
        PROXY,
        "the proxy http://proxy.example:3128 refused to connect to the server: 403 Forbidden",
        True,
    ),
    "a proxy without an address": (of(WANTS_LOGIN, "ProxyError"), Circumstances(""), "the proxy wants a login", True),
    "a proxy's other trouble": (
        error("ProxyError", "no such method"),
        PROXY,
        "the proxy http://proxy.example:3128 failed: no such method",
        True,
    ),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_what_is_known_is_said(name: str) -> None:
    """Each trouble is found however a library wraps it, and said with who has it; a certificate isn't tried again."""
    raised, around, text, may_pass = TROUBLE[name]
    trouble = diagnose(raised, URL, around)
    assert trouble is not None
    assert text in trouble.text
    assert may_pass is trouble.may_pass
    assert "pw" not in trouble.text
    assert ("proxy" in trouble.text) is ("proxy" in text)


@pytest.mark.parametrize("around", [OWN, PROXY, Circumstances(missing=MISSING)])
@pytest.mark.parametrize("raised", [OSError("disk"), error("ConnectionError", "reset"), ValueError()])
def test_what_is_not_known_is_left_to_the_library(raised: BaseException, around: Circumstances) -> None:
    """Of anything else the library's own text is the best that can be said."""
    assert diagnose(raised, URL, around) is None


def test_a_chain_of_errors_may_be_a_ring() -> None:
    """Errors that are each other's causes, or very many, don't keep it from ending."""
    one, other = OSError("one"), OSError("other")
    one.__cause__, other.__cause__ = other, one
    assert diagnose(one, URL, OWN) is None
    assert diagnose(of(one, *["E"] * 1000), URL, OWN) is None
    assert Trouble("timed out: no answer in time") == diagnose(of(one, *["E"] * 1000, "ReadTimeout"), URL, OWN)
