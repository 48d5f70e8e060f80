# Two commands do everything on a machine with python3 (>= 3.11, with venv), a C compiler and make:
#   make demo    the main job: swing up and balance in three simulators, a table, one HTML film, one picture
#   make test    lint, types and all tests
# PYTHON=python3.12 picks another Python, VENV=dir another place for its virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# a new package or C source means a new install; new modules inside a package do not
SOURCES := pyproject.toml CMakeLists.txt $(wildcard dl/csrc/*) $(wildcard */__init__.py */*/__init__.py)

.PHONY: demo test quick check bench sanitize clean

demo: $(VENV)/.installed
	$(BIN)/swingup demo

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

quick: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --level error --pythonpath $(BIN)/python
	$(BIN)/python -m pytest tests/test_floors.py

bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python benchmarks/rollout.py
	$(BIN)/python benchmarks/swing_up.py
	$(BIN)/python benchmarks/dl.py

# the C kernels' tests on a build with the address and undefined-behaviour sanitizers (gcc or clang on Linux); the C++
# library is loaded with them, or they stop at the first exception inside SciPy
sanitize: $(VENV)/.dev
	rm -rf build/sanitize
	$(BIN)/python -m pip install --quiet --no-deps --target build/sanitize -C cmake.define.DL_SANITIZE=ON \
		-C install.strip=false .
	LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libstdc++.so.6)" ASAN_OPTIONS=detect_leaks=0 \
		$(BIN)/python tests/sanitized.py build/sanitize --out benchmarks/results/dl_sanitize.json

# the C extension is rebuilt when its sources change; Python sources are used in place
$(VENV)/.installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(SOURCES) $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build
