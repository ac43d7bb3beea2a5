"""Client ID Metadata Documents: where a client's id is a URL, its metadata is there."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from ._client import is_loopback

__all__ = ["fetch_document", "is_document_url"]

_TIMEOUT = 5.0
_MOST_BYTES = 64 * 1024


def is_document_url(client_id: str) -> bool:
    """Return whether an id is the URL of a document: https, or http on loopback, with a path, and no more."""
    try:
        parts = urlsplit(client_id)
    except ValueError:
        return False
    is_secure = (parts.scheme == "https" and bool(parts.hostname)) or is_loopback(client_id)
    return is_secure and parts.path not in {"", "/"} and "#" not in client_id and "@" not in parts.netloc


def fetch_document(url: str) -> dict[str, Any] | None:
    """Return the JSON object at a URL, or None if there is none; a redirect isn't followed."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with closing(connect(parts.hostname or "", parts.port, timeout=_TIMEOUT)) as connection:
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request("GET", target, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            document = json.loads(answer.read(_MOST_BYTES)) if answer.status == 200 else None
    except (OSError, ValueError, HTTPException, RecursionError):
        return None
    return document if isinstance(document, dict) else None
