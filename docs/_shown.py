"""Pages for the repository's files that the documentation links to: shown, not downloaded."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[1]
FOLDER = "files"


class ShowFiles(SphinxTransform):
    """Makes of each link to a file outside the documentation a link to its page."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(addnodes.download_reference)):
            path = Path(os.path.normpath(folder / link["reftarget"]))
            if not path.is_file() or not path.is_relative_to(ROOT):
                continue
            name = path.relative_to(ROOT).as_posix()
            _shown(self.app).setdefault(name, set()).add(self.env.docname)
            uri = self.app.builder.get_relative_uri(self.env.docname, f"{FOLDER}/{name}")
            reference = nodes.reference("", "", refuri=uri, internal=True)
            reference += link.children
            link.replace_self(reference)


def _shown(app: Sphinx) -> dict[str, set[str]]:
    """Return the files that are linked to, and from which pages; it's kept between builds."""
    if not hasattr(app.env, "shown_files"):
        app.env.shown_files = {}
    return app.env.shown_files


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    if app.builder.format != "html":
        return
    languages = {".py": "python", ".toml": "toml"}
    for name, linked_from in sorted(_shown(app).items()):
        if linked_from:
            text = (ROOT / name).read_text(encoding="utf-8")
            code = app.builder.highlighter.highlight_block(
                text, languages.get(Path(name).suffix, "text")
            )
            body = f"<h1>{html.escape(name)}</h1>\n{code}"
            yield f"{FOLDER}/{name}", {"title": name, "body": body}, "page.html"


def _forget(app: Sphinx, _: Any, docname: str) -> None:
    for linked_from in _shown(app).values():
        linked_from.discard(docname)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(ShowFiles)
    app.connect("html-collect-pages", _pages)
    app.connect("env-purge-doc", _forget)
    return {"parallel_read_safe": False, "env_version": 1}
