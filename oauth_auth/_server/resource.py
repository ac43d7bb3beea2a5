"""The name under which pickles of before know `ResourceGrant`."""

from __future__ import annotations

from .resource_grant import ResourceGrant

__all__ = ["ResourceGrant"]
