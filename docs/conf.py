"""The site: `make docs` builds these pages and the reference of the public names, with warnings as errors."""

from __future__ import annotations

from pseudocap import __version__

project = "Pseudocap"
author = "the Pseudocap authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"Pseudocap {release}"

# Pages are Markdown; a link to a heading of another page works as it does where the files are read as they are.
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # JSON examples have `..` where something is left out

# Docstrings: what stands between single backticks is code. Types stay in the signatures, where the code has them.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
nitpicky = True
# Every link of the pages is checked. Types in signatures are links only where the reference has the type: those of
# other libraries would need their inventories from the network.
nitpick_ignore_regex = [("py:.*", ".*")]
