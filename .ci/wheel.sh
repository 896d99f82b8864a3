#!/usr/bin/env bash
# What is shipped, tried as it is shipped: the source distribution, the wheel that is built from it, and the tests of the
# graph, taken from the source distribution, against the installed wheel, where no compiler and no checkout is.
# Usage: .ci/wheel.sh FOLDER, with the tools of `make test-wheel` on the path of Python. FOLDER gets the files and the log.
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
rm -rf "${out:?}"/* && mkdir "$out/repaired"
export FEWLABELS_REQUIRE_KERNELS=1
python -m build --outdir "$out" . >"$out/build.log"  # the wheel from the source distribution
wheel=$(ls "$out"/*.whl)
python -m abi3audit --strict --report "$wheel" | tee "$out/abi3audit.json"
if [ "$(uname)" = Linux ]; then
  python -m auditwheel repair --wheel-dir "$out/repaired" "$wheel"
  wheel=$(ls "$out"/repaired/*.whl)
fi
tar -xzf "$out"/*.tar.gz -C "$out"
unpacked=$(ls -d "$out"/fewlabels-*/)
python -m venv "$out/fresh"
export CC=/bin/false CXX=/bin/false
"$out/fresh/bin/python" -m pip install --disable-pip-version-check --constraint "$unpacked/constraints.txt" \
  "$wheel[sklearn]" pytest pytest-timeout pytest-xdist hypothesis >"$out/install.log"
mkdir "$out/tried"
cp -r "$unpacked/tests" "$unpacked/benchmarks" "$unpacked/pyproject.toml" "$out/tried"
cd "$out/tried"
SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 "$out/fresh/bin/python" -m pytest -q -m "not slow" --numprocesses 2 tests/graph \
  --ignore tests/graph/cuda --ignore tests/graph/compiled/test_build.py  # torch is not there, nor a checkout to build
"$out/fresh/bin/python" -c "import fewlabels.graph.compiled as k; print(k.__file__, k.instructions())"
ls -l "$out"/*.tar.gz "$wheel"
