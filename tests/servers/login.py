"""Log a person in at oidc-provider's development pages, without a browser."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

_MOST_PAGES = 20
_TIMEOUT = 10


class LoginFailed(Exception):
    """The server showed something other than the next page of a login."""


def authorize(authorization_url: str, redirect_uri: str, login: str = "alice") -> str:
    """Open the URL, log in, consent, and return the redirect to `redirect_uri` without following it.

    A refusal that the server delivers by redirect is returned too. Raises LoginFailed for one that it
    shows to the person.
    """
    return _walk(authorization_url, redirect_uri, login=login)


def approve_device(verification_uri_complete: str, login: str = "alice") -> None:
    """Open the URL that a device shows (RFC 8628 §3.3.1), log in, and consent."""
    _walk(verification_uri_complete, None, login=login)


def _walk(url: str, redirect_uri: str | None, *, login: str) -> str:
    """Follow redirects and submit forms, up to `redirect_uri` or, without one, to a page without a form."""
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a netrc between the tests and loopback
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        response = session.get(url, allow_redirects=False, timeout=_TIMEOUT)
        for _ in range(_MOST_PAGES):
            if "Location" in response.headers:
                target = urljoin(response.url, response.headers["Location"])
                if redirect_uri is not None and target.startswith(redirect_uri):
                    return target
                response = session.get(target, allow_redirects=False, timeout=_TIMEOUT)
                continue
            form = _Form()
            form.feed(response.text)
            if form.action is None:
                if redirect_uri is None and response.ok:
                    return response.url
                raise LoginFailed(f"no form at {response.url}, status {response.status_code}:\n{response.text}")
            response = session.post(
                urljoin(response.url, form.action),
                data=form.fields | {"login": login, "password": "x"},
                allow_redirects=False,
                timeout=_TIMEOUT,
            )
    raise LoginFailed(f"no end to the login after {_MOST_PAGES} pages, last {response.url}")


class _Form(HTMLParser):
    """The form of a page: where it goes and its hidden fields.

    Each page (login, consent, device code, device confirmation) says there what it wants back, so one walk
    does for all. None has a second form; buttons are left alone, one of them aborts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.action = attributes.get("action")
        elif tag == "input" and attributes.get("type") == "hidden":
            self.fields[attributes.get("name") or ""] = attributes.get("value") or ""
