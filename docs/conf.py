"""The documentation's build: `make docs`. It needs no network."""

import contextlib
import io
import os
import sys
import tomllib
import zlib
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

with contextlib.redirect_stdout(io.StringIO()):  # it says that without matplotlib it draws no cards
    import sphinxext.opengraph  # noqa: F401

project = "oauth_auth"
copyright = "The oauth_auth authors"  # noqa: A001 - Sphinx's name for it
version = release = metadata.version("oauth_auth")

extensions = [
    "myst_parser",
    "notfound.extension",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
    "_shown",
]
exclude_patterns = ["_build"]
default_role = "code"  # docstrings put code in single backticks
nitpicky = True
# What no inventory has, and types of ours that nobody makes by hand, have no page.
nitpick_ignore_regex = [
    ("py:.*", r"(?!oauth_auth\.(requests|stores|login|testing|otel|errors)\.).*")
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]


def _inventory(name: str) -> str:
    """Return the file of a few names elsewhere: so the build needs no network."""
    lines = (HERE / "_inventories" / f"{name}.txt").read_text(encoding="utf-8")
    head = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    file = HERE / "_build" / "inventories" / f"{name}.inv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(head.encode() + zlib.compress(lines.encode()))
    return str(file)


intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", _inventory("python")),
    "requests": ("https://requests.readthedocs.io/en/latest/", _inventory("requests")),
    "aiohttp": ("https://docs.aiohttp.org/en/stable/", _inventory("aiohttp")),
}

# Text that a block prints isn't for copying.
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"

# Where the site will be is known on Read the Docs only.
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
notfound_urls_prefix = urlsplit(html_baseurl).path or "/"
ogp_site_url = html_baseurl
ogp_site_name = f"oauth_auth {release}"
ogp_social_cards = {"enable": False}
ogp_enable_meta_description = True
ogp_description_length = 160

# The project's address is one setting, in pyproject.toml. While it's empty, nothing links there.
_settings = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
_hooks = _settings.get("hatch", {}).get("metadata", {}).get("hooks", {})
repository = _hooks.get("custom", {}).get("repository", "")

html_theme = "furo"
pygments_dark_style = "monokai"
html_title = f"oauth_auth {release}"
html_favicon = html_logo = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/version.html",
        "sidebar/scroll-end.html",
        "sidebar/variant-selector.html",
    ]
}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": ["view", "edit"] if repository else []}
if repository:
    html_theme_options |= {
        "source_repository": f"{repository.rstrip('/')}/",
        "source_branch": "main",
        "source_directory": "docs/",
    }
