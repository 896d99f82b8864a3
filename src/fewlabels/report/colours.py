"""Colours of the pictures, for a white ground.

Each stands out from it by 3 to 1 or more, and text by 4.5 to 1; so they do as style.css.j2 turns pictures for a dark
screen. The colour-blind can tell them apart. tests/report/test_colours.py measures all of this.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, ListedColormap, to_rgba

PALETTE = (  # the first six are the furthest apart
    "#0072b2",
    "#d55e00",
    "#409f80",
    "#680d27",
    "#8a87a9",
    "#2e5002",
    "#a77a46",
    "#6a486f",
    "#8081ed",
    "#9b3846",
)
BLUE, ORANGE, GREEN = PALETTE[:3]
GREY = "#888888"  # lines and bars that stand back; what has no label
SOFT = "#545e6f"  # text that stands back
BACKING = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}  # text over lines
CERTAINTY: Colormap = ListedColormap(colormaps["plasma"](np.linspace(0.6, 0, 256)))  # doubtful red, certain deep blue
SHARES: Colormap = colormaps["Blues"]
PALE_SHARES: Colormap = ListedColormap(SHARES(np.linspace(0, 0.45, 256)))  # black numbers can be read on it


def of_labels(label: np.ndarray) -> np.ndarray:
    """(m, 4) RGBA for (m,) class numbers, grey for -1; from the eleventh class on colours come again."""
    table = np.array([to_rgba(name) for name in PALETTE])
    return np.where(label[:, None] >= 0, table[label % len(table)], to_rgba(GREY))
