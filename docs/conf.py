"""The documentation's build: `make docs`. It needs no network."""

from importlib import metadata

project = "oauth_auth"
copyright = "The oauth_auth authors"  # noqa: A001 - Sphinx's name for it
version = release = metadata.version("oauth_auth")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"  # docstrings put code in single backticks
nitpicky = True
# Types of Python and of the HTTP libraries, and ours that nobody makes by hand, have no page here.
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

html_theme = "furo"
html_title = f"oauth_auth {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
