"""Pictures that can be read on light and on dark pages."""

from __future__ import annotations

__all__ = ["for_both_themes"]

_THEMES = """\
svg { --paper: #ffffff; --ink: #1f2937; --soft: #5b6472; --ours: #1b6ca8 }
@media (prefers-color-scheme: dark) { svg { --paper: #131416; --ink: #e6e9ee; --soft: #a3adbb; --ours: #58aae6 } }
text { fill: var(--ink) }
"""
_NAMES = {"#ffffff": "var(--paper)", "#000000": "var(--ink)", "#666666": "var(--soft)", "#1b6ca8": "var(--ours)"}


def for_both_themes(svg: str) -> str:
    """Return what matplotlib has drawn in black on white, with colours that follow the reader's theme."""
    begin, found, rest = svg.partition('<style type="text/css">')
    if not found:
        raise ValueError("a picture without a style sheet: not one of matplotlib's")
    for color, name in _NAMES.items():
        rest = rest.replace(color, name)
    return f"{begin}{found}\n{_THEMES}{rest}"
