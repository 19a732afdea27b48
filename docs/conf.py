"""Settings of the documentation: `python -m sphinx -W --keep-going docs site` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from musicgen_cls import __version__

project = "musicgen_cls"
copyright = "the authors of musicgen_cls"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_help", "public_api"]
root_doc = "index"
exclude_patterns = ["extensions", "examples"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "code"  # docstrings write `name` for code, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"npt.ArrayLike": "ArrayLike"}
maximum_signature_line_length = 100
napoleon_numpy_docstring = False

highlight_language = "text"

html_theme = "furo"
html_title = "musicgen_cls"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
