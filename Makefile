# Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test shuffled slow mutants lint format docs bench constraints clean

help:  ## what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## install the package and its development tools into .venv

# The stamp is written last, so an interrupted installation is taken up again and a finished one needs no network.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Pseudocap needs Python 3.11 or newer, and $(PYTHON) is older or is not there; try: make PYTHON=python3.12 install" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) has no venv module; on Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing $(if $(filter cpu,$(TORCH_BACKEND)),about 2 GB,about 7 GB; without CUDA about 2: make install TORCH_BACKEND=cpu) into $(VENV)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(addprefix --torch-backend ,$(TORCH_BACKEND)) --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## install, then caption real pictures and video and a drawn film, and write demo.html
	$(BIN)/pseudocap demo

# Two processes of tests for two cores, which compute in one thread each; the one that is done first takes tests from
# the other. Processes that tests start would compile torch anew where Python may not keep what it compiled.
test shuffled slow: export OMP_NUM_THREADS = 1
unexport PYTHONDONTWRITEBYTECODE

test: $(STAMP)  ## install, then run the default tests (CPU, no network, four minutes on two cores)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal --durations=15

shuffled: $(STAMP)  ## the default tests in a random order, which a failure names
	$(BIN)/python -m pytest -p randomly -m "not slow" -n 2 --dist worksteal

N     ?= 30
SEED  ?= 1
JOBS  ?= 1
PATHS ?= pseudocap

mutants: $(STAMP)  ## draw N small mistakes in PATHS by SEED, and list those that no default test notices
	$(BIN)/python .ci/mutants.py --number $(N) --seed $(SEED) --jobs $(JOBS) $(PATHS)

slow: $(STAMP)  ## the tests that the default suite leaves out
	$(BIN)/python -m pytest -m slow --durations=15

lint: $(STAMP)  ## ruff (format and rules) and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## the documentation as a site, in build/docs, every warning an error
	$(BIN)/python -m sphinx -W --keep-going --quiet docs build/docs
	@echo "build/docs/index.html"

bench: $(STAMP)  ## every race against its alternative but the long ones; fails below a floor (docs/bench.md)
	$(BIN)/pseudocap bench throughput

# The newest versions of everything, for the tests to judge. CUDA's parts are left out: torch pins its own.
constraints: $(STAMP)  ## write constraints.txt anew from the newest versions
	$(BIN)/uv pip compile --quiet --upgrade --extra dev --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links pyproject.toml --output-file $(VENV)/resolved.txt
	grep -vE '^(nvidia-|cuda-|triton)' $(VENV)/resolved.txt > constraints.txt

clean:  ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
