# The usual work on lfic. PYTHON is the environment's interpreter: .venv's where there is one.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
TOOLS := $(dir $(shell command -v $(PYTHON)))
CPP = $(shell find csrc -name '*.cpp' -o -name '*.hpp')

.PHONY: help test test-all lint types format docs bench wasm digests wheel fuzz audit

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

test:  ## every test but those that take long, as README's command runs them
	$(PYTHON) -m pytest -m "not slow"

test-all:  ## every test
	$(PYTHON) -m pytest

lint: types  ## style of Python and C++, and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(TOOLS)clang-format --dry-run --Werror $(CPP)

types:  ## mypy, as pyproject.toml sets it
	$(PYTHON) -m mypy

format:  ## Python and C++ laid out as lint wants them
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	$(TOOLS)clang-format -i $(CPP)

docs:  ## the site in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

bench:  ## microbenchmarks of the codec, the coder and the kernels
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest benchmarks --benchmark-only

wasm:  ## the browser's module, its npm folder and page, in build/wasm (needs emscripten)
	PYTHON=$(PYTHON) csrc/wasm/build.sh

digests:  ## pixels and files of every kind of machine, in one table (needs cross compilers, qemu, emscripten)
	$(PYTHON) benchmarks/digests.py

wheel:  ## the wheel in dist/
	$(PYTHON) -m pip wheel --no-deps --wheel-dir dist .

FUZZ_SECONDS ?= 600
fuzz:  ## libFuzzer with sanitizers for ten minutes (FUZZ_SECONDS), clang needed; findings stay in build/fuzz
	csrc/fuzz/run $(FUZZ_SECONDS)

audit:  ## known weaknesses of the dependencies, and the tests on the oldest ones allowed
	.ci/audit $(PYTHON)
