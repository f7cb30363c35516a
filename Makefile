# Two commands do everything: `make demo` and `make test`. The environment lives in .venv.
PYTHON ?= python3
VENV := .venv
BENCH := $(VENV)/bin/bench

.PHONY: demo test test-slow test-all fuzz docs lint gate leaderboard lock benchmark clean

$(VENV)/bin/uv:
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.ready: $(VENV)/bin/uv requirements.lock pyproject.toml
	@echo "installing what requirements.lock names into $(VENV) (about a minute the first time)"
	@$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes -r requirements.lock
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps -e .
	@touch $@

demo: $(VENV)/.ready  ## the main job on real digits with a real (small) diffusion editor
	$(BENCH) run --lock modellock --attack prompt-search --entropy plan --store runs/demo
	$(BENCH) report --store runs/demo --out runs/demo-report

test: $(VENV)/.ready  ## the fast tests, some minutes
	$(VENV)/bin/pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(VENV)/.ready  ## what needs longer: real networks, clusters, the whole tutorial, a browser, simulations
	$(VENV)/bin/pytest -n 2 --dist worksteal -m slow

test-all: test test-slow  ## every test

fuzz: $(VENV)/.ready  ## more than 10,000 odd inputs: parameters, seeds, tasks, suites, command lines
	LOCKBENCH_FUZZ=1 $(VENV)/bin/pytest tests/plan/test_fuzz.py tests/cli/test_fuzz.py

lint: $(VENV)/.ready  ## style, types and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.ready  ## write the pages that are generated from the sources, and build the site strictly into site/
	$(BENCH) fidelity > docs/explanation/fidelity.md
	$(VENV)/bin/python -m tools.site.cli > docs/reference/cli.md
	$(VENV)/bin/python -m tools.site.data_sets > docs/reference/data-sets.md
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

SUITE ?= ci-minute
gate: $(VENV)/.ready  ## have security numbers got worse? a minute of the suite ci (SUITE=ci: all of it) against its baseline
	rm -rf runs/gate
	$(BENCH) run --suite $(SUITE) --jobs 2 --threads 1 --entropy plan --store runs/gate || test $$? -eq 1  # the gate says what failed
	$(BENCH) gate baselines/ci.json --suite $(SUITE) --candidate runs/gate

leaderboard: $(VENV)/.ready  ## the public table from the archives in leaderboard/records/, as a site in leaderboard/site/
	$(BENCH) leaderboard build

benchmark: $(VENV)/.ready  ## timed comparisons, never part of the tests
	$(VENV)/bin/pytest tests/benchmarks --benchmark-only --timeout=0

lock: $(VENV)/bin/uv  ## write requirements.lock anew
	$(VENV)/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header --extra dev --extra docs --extra data --extra weights --extra ray --extra slurm --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) runs site .pytest_cache .mypy_cache .ruff_cache
