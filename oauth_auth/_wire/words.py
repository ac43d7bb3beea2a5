"""The words of others, made fit for an error or an event: one line, of bounded length, without a secret. Pure.

Secrets are removed first, as they are and in each form that a server may repeat them in; what is shortened before may
end in the half of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["is_page", "redact", "server_words", "without_secrets"]

_LONGEST = 500
_LONGEST_WORDS = 200

_WORDS = ("error_description", "errorSummary", "message", "detail", "title")
"""The fields in which servers put their words, the best first."""

_QUERY = r"(?<=[^\s?])\?[^\s'\")]+"
_USER_INFO = r"(?<=//)[^\s/'\"]{0,500}@|[^\s/'\"(:@]{1,200}:[^\s/'\"@]{0,200}@"
"""Bounded, since each part could begin at each letter of a long text."""
_LONGEST_LOOKED_AT = 4000
_NAME = r"[A-Za-z0-9_.-]{1,40}"


def redact(value: object, secrets: Iterable[str], longest: int = _LONGEST) -> str | None:
    """Return a text of a server's without what we sent; None if it's no text, or nothing is left of it."""
    if not isinstance(value, str):
        return None
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):  # one may be the beginning of another
        value = value.replace(form, "[redacted]")
    return "".join(char if char.isprintable() else " " for char in value[:longest]).strip() or None


def _forms(secret: str) -> Iterator[str]:
    """Return a secret as it is, and as it stands in a form, in JSON and in HTML."""
    import html  # noqa: PLC0415 - only errors need it

    yield secret
    for encoded in (quote_plus(secret), quote(secret, safe="")):
        yield encoded
        yield re.sub("%..", lambda found: found[0].lower(), encoded)
    for in_json in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield in_json
        yield in_json.replace("/", "\\/")
    yield html.escape(secret, quote=False)
    in_html = html.escape(secret)
    yield in_html
    yield in_html.replace("&#x27;", "&#39;")
    yield in_html.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")


def server_words(fields: Mapping[str, Any], text: str, secrets: Iterable[str]) -> str | None:
    """Return what a server says of its error in its own way, 200 characters at most; None if it says nothing.

    `fields` are those of its answer, and `text` is the answer itself: the title of a web page, and the names of fields
    whose meaning isn't known, are better than nothing.
    """
    secrets = tuple(secrets)
    for words in _candidates(fields, text):
        if (cleaned := redact(words, secrets, _LONGEST_WORDS)) is not None:
            return cleaned
    return None


def _candidates(fields: Mapping[str, Any], text: str) -> Iterator[object]:
    yield from (fields.get(name) for name in _WORDS)
    error = fields.get("error")
    if isinstance(error, Mapping):
        yield error.get("message")
    elif isinstance(error, str) and error:  # which is said anyway
        return
    if fields and text.startswith("{"):
        inner = [f"error.{name}" for name in error] if isinstance(error, Mapping) else []
        names = [*inner, *(name for name in fields if name != "error" or not inner)]
        # What isn't JSON may have been read as a form, and a name then be anything.
        if all(isinstance(name, str) and re.fullmatch(_NAME, name) for name in names):
            yield f"fields: {', '.join(names)}"
    yield _title(text)


def is_page(text: str) -> bool:
    """Return whether this is a web page."""
    return text[:500].lstrip().lower().startswith(("<!doctype html", "<html", "<head", "<title", "<body"))


def _title(text: str) -> str | None:
    import html  # noqa: PLC0415 - see above

    begin = re.search("<title", text, re.IGNORECASE)  # not in `lower()`, which can be of another length
    inside = -1 if begin is None else text.find(">", begin.end())
    end = None if inside == -1 else re.compile("</title", re.IGNORECASE).search(text, inside)
    return None if end is None else " ".join(html.unescape(text[inside + 1 : end.start()]).split())


def without_secrets(text: str) -> str:
    """Return an error's text, or the beginning of a long one, without user info and queries of the URLs in it."""
    return re.sub(_QUERY, "", re.sub(_USER_INFO, "", text[:_LONGEST_LOOKED_AT]))
