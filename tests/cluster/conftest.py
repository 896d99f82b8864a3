import pytest

from fewlabels.cluster import demands
from fewlabels.graph.compiled import instructions


@pytest.fixture
def small(monkeypatch):
    """2,600 rows count as many: they are searched by clusters, and shared out."""
    if instructions() is None:
        pytest.skip("the compiled kernels are not installed")
    from fewlabels.graph.compiled import nearest

    monkeypatch.setattr(nearest, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(demands, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(demands, "LEAST_HELD", 500)
    monkeypatch.setattr(demands, "HELD_SHARE", 0.0)
