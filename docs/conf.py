"""How Sphinx makes the documentation: `make docs`, which treats warnings as errors."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("MPLBACKEND", "agg")

import clnf_engine  # noqa: E402

project = "CLNF Studio"
author = "CLNF Studio contributors"
copyright = author
release = version = clnf_engine.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
root_doc = "index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "examples", "generated/gallery/*.py", "generated/gallery/*.ipynb"]
highlight_language = "none"
default_role = "py:obj"
suppress_warnings = ["config.cache"]
templates_path = ["_templates"]

# --- Markdown ---------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 4

_ELSEWHERE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "model-card": "models/portrait68/MODEL_CARD.md",
    "security": "SECURITY.md",
}
"""Pages of the site whose text is elsewhere in the checkout."""


def _gather(app: Any, name: str, source: list[str]) -> None:
    """Take such a text from where it is, and let links that work on GitHub lead to pages of the site."""
    if name in _ELSEWHERE:
        path = ROOT / _ELSEWHERE[name]
        app.env.note_dependency(path)
        source[0] = path.read_text(encoding="utf-8")
    if name == "guides" and not (ROOT / "docs" / "studies.md").exists():
        source[0] = source[0].replace("studies\n", "")
    pages = {(ROOT / path).resolve(): f"{page}.md" for page, path in _ELSEWHERE.items()}
    pages[ROOT / "README.md"] = "index.md"
    folder = (ROOT / _ELSEWHERE.get(name, f"docs/{name}")).parent

    def inside(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target in pages:
            return f"]({pages[target]}"
        return f"]({target.relative_to(ROOT / 'docs')}" if target.is_relative_to(ROOT / "docs") else link[0]

    source[0] = re.sub(r"\]\(([\w./-]+\.md)", inside, source[0])


# --- API --------------------------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = {
    *("of", "or", "and", "optional", "to", "by", "name", "operation", "such", "as"),
    *("H", "W", "n", "m", "k", "w", "p", "x", "y", "height", "width"),
}
numpydoc_xref_aliases = {name: f"clnf_engine.{name}" for name in clnf_engine.__all__} | {
    "path-like": "os.PathLike",
    **{name: name for name in ("bool", "dict", "float", "int", "list", "str", "tuple")},
    "iterable": "collections.abc.Iterable",
    "iterator": "collections.abc.Iterator",
    "mapping": "collections.abc.Mapping",
    "sequence": "collections.abc.Sequence",
    "callable": "collections.abc.Callable",
}

# --- gallery ----------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "generated/gallery",
    "filename_pattern": r"/\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 60,
    "reference_url": {"clnf_engine": None},
    "doc_module": ("clnf_engine",),
    "backreferences_dir": None,
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "image_srcset": ["2x"],
    "plot_gallery": True,
    "write_computation_times": False,
}

# --- look -------------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "CLNF Studio"
html_static_path = ["_static"]
html_css_files = ["clnf.css"]
html_js_files = ["clnf.js"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "logo": {"text": "CLNF Studio"},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}

linkcheck_anchors = False
linkcheck_ignore = [r"https://github\.com/.*/(edit|blob)/"]


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", _gather)
