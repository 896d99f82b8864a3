"""Who may import whom: the table of ARCHITECTURE.md, held against the source."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "fewlabels"
SHARED = {"errors", "conventions", "randomness", "notebook"}
MAY_IMPORT = {
    "errors": set(),
    "conventions": set(),
    "randomness": {"numpy"},
    "notebook": set(),
    "storage": {"errors", "errno"},
    "storage/cache_folder": set(),
    "storage/arrays": {"errors", "storage", "numpy", "zipfile"},
    "storage/lock": {"errors", "fcntl", "msvcrt", "socket"},
    "graph": SHARED | {"numpy", "scipy"},
    "graph/blas": {"scipy", "threadpoolctl"},
    "choosing": SHARED | {"graph", "numpy", "scipy"},
    "choosing/settings": {"errors", "graph/settings"},
    "graph/cuda": SHARED | {"numpy", "scipy", "torch"},
    "data": SHARED | {"numpy", "PIL", "pyarrow", "errno"},
    "data/benchmarks/datasets": SHARED | {"numpy", "PIL", "storage"},
    "data/benchmarks/hub": SHARED | {"datasets"},
    "data/images/decode": {"data", "errors", "numpy", "PIL", "pillow_heif", "pi_heif"},
    "data/images/decode_worker": {"data"},  # neither NumPy nor pyarrow: it is started for every folder of images
    "data/images/decoders": SHARED | {"numpy", "subprocess", "queue"},
    "data/benchmarks/sample_photos": {"numpy", "sklearn"},
    "data/benchmarks/digits": SHARED | {"numpy", "PIL", "sklearn", "data"},
    "nets": {"errors", "torch"},
    "nets/settings": {"errors"},
    "nets/model": {"errors", "runs", "choosing/abstain", "data/images/squares", "numpy", "torch", "safetensors"},
    "nets/export_onnx": {"errors", "numpy", "torch", "onnx", "onnxruntime"},
    "nets/backbone": {"errors", "torch"},
    "nets/open_clip_models": {"errors", "numpy", "torch", "open_clip"},
    "nets/timm_models": {"errors", "torch", "safetensors", "timm", "torchvision", "huggingface_hub"},
    "training": SHARED | {"numpy", "torch", "graph", "data", "nets"},
    "training/augment": SHARED | {"numpy", "torch"},
    "training/checkpoint": {"errors", "storage", "training", "torch", "safetensors"},
    "training/execution": SHARED | {"torch", "ctypes"},
    "training/identity": {"errors"},
    "training/interrupt": {"errors"},
    "training/method_table": set(),
    "training/settings": {"errors", "graph", "nets"},
    "recipes": {
        "errors",
        "graph/settings",
        "data/benchmarks/facts",
        "nets/settings",
        "training/method_table",
        "training/settings",
    },
    "recipes/published": set(),
    "describing": SHARED | {"data", "storage", "numpy"},
    "describing/network": {"errors", "data", "nets", "numpy", "torch", "PIL"},
    "describing/stream": SHARED | {"numpy", "queue"},
    "describing/table": SHARED | {"data", "storage", "numpy", "pyarrow"},
    "describing/texts": SHARED | {"data", "numpy", "safetensors", "tokenizers"},
    "estimator": SHARED | {"graph", "choosing", "storage", "numpy", "scipy", "sklearn"},
    "estimator/store": SHARED | {"graph", "choosing", "storage", "estimator", "numpy", "scipy"},
    "insights": SHARED | {"graph", "choosing", "numpy"},
    "insights/schema": {"errors", "numpy", "pyarrow"},
    "insights/map": SHARED | {"numpy", "sklearn", "threadpoolctl"},
    "runs": {"errors", "notebook", "storage", "insights/schema", "numpy", "pyarrow"},
    "runs/origin": {"subprocess"},
    "review": SHARED | {"runs", "graph", "data", "storage", "numpy", "pyarrow"},
    "review/engine": SHARED | {"choosing", "graph", "review", "numpy", "pyarrow", "scipy"},
    "review/store": SHARED | {"storage", "runs", "review"},
    "review/web": {"errors", "review/web"},
    "review/web/app": SHARED | {"review", "fastapi", "pydantic", "starlette"},
    "review/web/opening": SHARED | {"review", "fastapi"},
    "review/web/schema": {"pydantic"},
    "review/web/process": SHARED | {"review", "h11", "socket", "uvicorn"},
    "report": SHARED
    | {"runs", "choosing/words", "insights/schema", "training/method_table", "numpy", "matplotlib", "jinja2"},
    "cluster": SHARED
    | {"choosing", "graph", "data/tables", "data/paths", "runs/table", "storage", "numpy", "scipy", "pyarrow"},
    "cluster/dask_engine": {"errors", "graph", "numpy", "scipy", "distributed"},
    "cluster/dask_blocks": {"errors", "graph", "numpy", "scipy", "distributed"},
    "commands": SHARED
    | {
        *("graph", "choosing", "data", "nets", "training", "recipes", "runs", "report", "insights", "storage"),
        *("cluster", "describing", "numpy", "torch", "safetensors", "tqdm"),
    },
    "commands/classify": SHARED | {*("choosing/abstain", "commands", "data", "nets", "runs", "storage"), "numpy"},
    "commands/classify_options": SHARED | {"choosing/abstain", "nets/model", "runs", "storage"},
    "commands/classify_rows": SHARED | {*("choosing/abstain", "commands", "runs", "storage"), "numpy"},
    "commands/new_rows": SHARED | {*("commands", "data", "describing", "runs"), *("numpy", "pyarrow")},
    "commands/rows_model": SHARED
    | {*("choosing", "commands", "graph", "nets/model", "review", "runs", "storage"), "numpy"},
    "commands/cross_validation": SHARED | {*("choosing", "graph", "insights", "training"), *("numpy", "torch")},
    "commands/frozen": SHARED | {*("describing", "nets", "storage", "training"), *("numpy", "torch")},
    "commands/thumbnails": SHARED | {"commands", "data", "insights"},
    "commands/review": SHARED | {"choosing/words", "data", "review", "runs", "storage"},
    "commands/export": SHARED | {"review", "runs", "storage"},
    "commands/label": SHARED
    | {*("choosing", "commands", "data", "describing", "graph", "insights", "report", "review", "runs", "storage")}
    | {"numpy"},
    "commands/begin": SHARED
    | {*("commands", "data", "describing", "graph", "nets", "review", "runs", "storage"), *("numpy", "pyarrow")},
    "cli": {"errors", "cli", "typer", "training/method_table", "choosing", "describing"}
    | {"graph", "data", "nets/model", "recipes", "runs", "report", "review", "commands", "storage"},
    "cli/reproduce": {"errors", "cli", "data", "nets", "commands", "typer"},
    "cli/review": {"errors", "commands", "review", "fastapi", "uvicorn", "typer"},
    "__main__": {"cli"},
    "__init__": {
        "conventions",
        "errors",
        "estimator",
        "choosing",
        "graph",
        "nets/model",
        "runs",
        "commands/from_python",
        "commands/rows_model",
        "describing/settings",
    },
}
STANDARD = {
    "__future__",
    "ast",
    "asyncio",
    "codecs",
    "collections",
    "concurrent",
    "fnmatch",
    "functools",
    "contextlib",
    "copy",
    "enum",
    "csv",
    "dataclasses",
    "datetime",
    "hashlib",
    "hmac",
    "html",
    "importlib",
    "io",
    "itertools",
    "json",
    "math",
    "numbers",
    "tokenize",  # its error is among those of a damaged .npy header
    "os",
    "pathlib",
    "platform",
    "re",
    "resource",
    "secrets",
    "shlex",
    "shutil",
    "signal",
    "sqlite3",
    "stat",
    "struct",
    "sys",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "warnings",
    "zlib",
    "pickletools",
    "base64",
    "unittest",
    "uuid",
    "contextvars",
    "urllib",
    "webbrowser",
    "logging",
}


def imported(path: Path) -> set[str]:
    """The other parts of fewlabels (as `part` or `part/module`) and outside packages that a module imports."""
    package = list(path.relative_to(SOURCE).with_suffix("").parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - (node.level - 1)]
            parts = base + (node.module.split(".") if node.module else [])
            found |= {"/".join(parts)} if parts else {alias.name for alias in node.names}
    return found - STANDARD


def prefixes(name: str) -> set[str]:
    """`data/labels/csv` -> `data`, `data/labels`, `data/labels/csv`."""
    parts = name.split("/")
    return {"/".join(parts[: end + 1]) for end in range(len(parts))}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_part_imports_only_what_the_table_allows(path):
    module = path.relative_to(SOURCE).with_suffix("").as_posix()
    part = module.split("/")[0]
    rooms = (module, "/".join(module.split("/")[:2]), part)
    allowed = next(MAY_IMPORT[room] for room in rooms if room in MAY_IMPORT)
    own = part if "/" in module else ""
    strange = {name for name in imported(path) if not allowed & prefixes(name) and own not in prefixes(name)}
    assert not strange


def test_files_and_functions_stay_small():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert lines <= 40, f"{path}: {node.name} has {lines} lines"
