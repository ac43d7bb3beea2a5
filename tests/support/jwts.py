"""What JWTs say, whoever has signed them."""

from __future__ import annotations

import base64
import json
from typing import Any

__all__ = ["claims_of", "header_of"]


def header_of(jwt: str) -> dict[str, Any]:
    return _part(jwt, 0)


def claims_of(jwt: str) -> dict[str, Any]:
    return _part(jwt, 1)


def _part(jwt: str, number: int) -> dict[str, Any]:
    encoded = jwt.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))  # type: ignore[no-any-return]
