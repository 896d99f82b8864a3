"""Label propagation on arrays: nearest neighbours, the affinity graph, the solver, pseudo-labels and explanations.

Needs NumPy and SciPy alone; knows nothing of images, networks or files.
"""

from .affinity import affinity, normalize
from .build import build_graph
from .class_names import weigh_class_names
from .cost import Cost, estimate
from .extend import Extension, extend, extend_precomputed
from .influence import Explanation, LeaveOneOut, explain, explain_rows, leave_one_out
from .neighbors import nearest_neighbors
from .precomputed import graph_from_affinity, graph_from_neighbors
from .propagation import propagate, spread
from .pseudo_labels import PseudoLabels, pseudo_labels
from .refinement import Refined
from .rows import comparable_rows
from .settings import GraphSettings, Refinement
from .solver import Solution, conjugate_gradients
from .system import Propagation, PropagationSystem
from .types import Graph, Neighbors, Search

__all__ = [
    "Cost",
    "Explanation",
    "Extension",
    "Graph",
    "GraphSettings",
    "LeaveOneOut",
    "Neighbors",
    "Propagation",
    "PropagationSystem",
    "PseudoLabels",
    "Refined",
    "Refinement",
    "Search",
    "Solution",
    "affinity",
    "build_graph",
    "comparable_rows",
    "conjugate_gradients",
    "estimate",
    "explain",
    "explain_rows",
    "extend",
    "extend_precomputed",
    "graph_from_affinity",
    "graph_from_neighbors",
    "leave_one_out",
    "nearest_neighbors",
    "normalize",
    "propagate",
    "pseudo_labels",
    "spread",
    "weigh_class_names",
]
