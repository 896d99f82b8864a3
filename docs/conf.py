"""The documentation site. `make docs` builds it into docs/_build; a browser that shows it fetches nothing elsewhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "fewlabels"
author = "the fewlabels authors"
html_title = "fewlabels"

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "mathml", "notebook_pages", "repository_links"]
exclude_patterns = ["_build", "extensions", "scripts", "_notebook_pictures"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}  # its "edit" and "view" buttons need the address of a forge
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
smartquotes = False  # it would make a dash of the two in --option
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88

# Types of other packages. Their documentation is elsewhere, and nothing is fetched to link to it.
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|np|scipy|sp|torch|nn|sklearn|numbers|pathlib|collections|typing)\..*"),
    ("py:.*", r"(NDArray|ArrayLike|Module|Tensor|Path|Self|Any|Callable|Iterator|Sequence|Mapping)"),
    # names of unions, told in docstrings
    ("py:class", r"(os\.)?PathLike|GivenImages|Kind|LabelsAre|MethodWord|Mode|OnConflict|OnProgress|Precision|Speed"),
    ("py:class", r"fewlabels\.graph\.(settings\.Rules|solver\.Operator)"),  # inner parts of public values
    (
        "py:class",
        r"fewlabels\.choosing\.(answer\.Mixture|abstain\.Curve)|Curve|Part|Float|Measured",
    ),  # of answers and models
]
