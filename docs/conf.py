"""The documentation as a site, built with Sphinx by `make site` from the Markdown of the repository."""

from importlib.metadata import version as version_of

project = "gsc_pipeline"
author = "the gsc_pipeline maintainers"
release = version = version_of("gsc_pipeline")

extensions = ["myst_parser"]
myst_heading_anchors = 4
# The folder of the sources is the repository's, because pages link to those beside code and deployments.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/*.md",
    "deploy/*/README.md",
    "docs/**",
    "integrations/*/README.md",
]
exclude_patterns = ["docs/conf.py"]
# SQL of DuckDB and shell sessions hold words that the highlighters do not know.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"gsc_pipeline {release}"
# The first page is docs/index.html; this one leads there.
html_extra_path = ["site"]
html_show_sourcelink = False
html_copy_source = False
