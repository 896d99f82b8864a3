from typing import Any

def search_rows(
    queries: Any, num: int, d: int, panels: Any, count: int, self: Any, k: int, number: Any, similarity: Any
) -> None: ...
def search_cells(
    panels: Any,
    start: Any,
    num: int,
    d: int,
    probes: Any,
    num_probes: int,
    k: int,
    more: int,
    first: int,
    last: int,
    number: Any,
    similarity: Any,
) -> None: ...
def probe_before(
    pointers: Any,
    columns: Any,
    nodes: int,
    node: Any,
    n: int,
    cell: Any,
    num_cells: int,
    spread: int,
    further: int,
    first: int,
    last: int,
    most: int,
    probes: Any,
) -> None: ...
def pack(rows: Any, n: int, d: int, order: Any, count: int, first: int, last: int, panels: Any) -> None: ...
def largest(rows: Any, n: int, d: int, first: int, last: int, largest: Any) -> None: ...
def scale_rows(rows: Any, n: int, d: int, scale: Any, unit: int, first: int, last: int, out: Any) -> None: ...
def hash_rows(rows: Any, n: int, d: int, first: int, last: int, hash: Any) -> None: ...
def count_backward(
    number: Any, similarity: Any, missing: int, n: int, k: int, first: int, last: int, count: Any
) -> None: ...
def fill_backward(
    number: Any,
    similarity: Any,
    missing: int,
    n: int,
    k: int,
    first: int,
    last: int,
    next: Any,
    entries: int,
    sources: Any,
    values: Any,
) -> None: ...
def merge_lists(
    begin: Any, sources: Any, values: Any, n: int, k: int, first: int, last: int, number: Any, similarity: Any
) -> None: ...
def measure_rows(
    number: Any,
    similarity: Any,
    begin: Any,
    sources: Any,
    values: Any,
    n: int,
    k: int,
    gamma: float,
    largest: float,
    clip: int,
    first: int,
    last: int,
    entries: Any,
    degree: Any,
) -> None: ...
def write_rows(
    number: Any,
    similarity: Any,
    begin: Any,
    sources: Any,
    values: Any,
    n: int,
    k: int,
    gamma: float,
    largest: float,
    clip: int,
    first: int,
    last: int,
    scale: Any,
    pointers: Any,
    columns: Any,
    weights: Any,
) -> None: ...
def product(
    pointers: Any,
    columns: Any,
    weights: Any,
    n: int,
    base: int,
    alpha: float,
    vectors: Any,
    num_vectors: int,
    image: Any,
    width: int,
    groups: Any,
    num_groups: int,
    first: int,
    last: int,
    dots: Any,
) -> None: ...
def advance(
    x: Any,
    residual: Any,
    direction: Any,
    image: Any,
    step: Any,
    shape: Any,
    n: int,
    base: int,
    width: int,
    groups: Any,
    num_groups: int,
    first: int,
    last: int,
    dots: Any,
    coarse: Any,
) -> None: ...
def turn(
    direction: Any,
    residual: Any,
    ratio: Any,
    shape: Any,
    lift: Any,
    n: int,
    base: int,
    width: int,
    groups: Any,
    num_groups: int,
    first: int,
    last: int,
) -> None: ...
def components(pointers: Any, columns: Any, n: int, component: Any) -> None: ...
def coarsen(
    pointers: Any,
    columns: Any,
    weights: Any,
    n: int,
    shape: Any,
    groups: Any,
    group_of: Any,
    num: int,
    first: int,
    last: int,
    coarse: Any,
) -> None: ...
def instructions(wanted: str | None = None) -> str: ...
def lift(inverse: Any, coarse: Any, num: int, width: int, first: int, last: int, lift: Any) -> None: ...
