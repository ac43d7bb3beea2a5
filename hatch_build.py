"""What distributions say about the address of the project, from one setting: `repository` in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["AddressHook", "project_urls", "with_absolute_links"]

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")


class AddressHook(MetadataHookInterface):
    """Fills in the README and the URLs. As long as no address is set there are no URLs, and links are plain text."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add what pyproject.toml calls dynamic."""
        root, version, repository = Path(self.root), metadata["version"], self.config["repository"].rstrip("/")
        text = with_absolute_links((root / "README.md").read_text(encoding="utf-8"), root, repository, version)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = project_urls(repository, version)


def with_absolute_links(text: str, root: Path, repository: str, version: str) -> str:
    """Return Markdown in which links to files of the repository work elsewhere, too.

    They lead to what the files were at this version's tag. Without a repository, a link is its text.
    """

    def absolute(link: re.Match[str]) -> str:
        if not (root / link["target"].partition("#")[0]).exists() or link["target"].startswith("#"):
            return link[0]
        if not repository:
            return link["text"]
        view = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({repository}/{view}/v{version}/{link['target']})"

    return _LINK.sub(absolute, text)


def project_urls(repository: str, version: str) -> dict[str, str]:
    """Return what a package index shows beside the README."""
    if not repository:
        return {}
    files = f"{repository}/blob/v{version}"
    return {
        "Documentation": f"{files}/docs/index.md",
        "Changelog": f"{files}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Source": repository,
    }
