# Two commands do everything: `make demo` and `make test`. The environment lives in .venv.
PYTHON ?= python3
VENV := .venv
BENCH := $(VENV)/bin/bench

.PHONY: demo test lint lock benchmark clean

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v uv >/dev/null 2>&1 || $(PYTHON) -m pip install --quiet uv
	@test -x $(VENV)/bin/python || (command -v uv >/dev/null 2>&1 && uv venv --quiet --python $(PYTHON) $(VENV) || $(PYTHON) -m uv venv --quiet --python $(PYTHON) $(VENV))
	@(command -v uv >/dev/null 2>&1 && uv pip install --quiet --python $(VENV)/bin/python --require-hashes -r requirements.lock || $(PYTHON) -m uv pip install --quiet --python $(VENV)/bin/python --require-hashes -r requirements.lock)
	@(command -v uv >/dev/null 2>&1 && uv pip install --quiet --python $(VENV)/bin/python --no-deps -e . || $(PYTHON) -m uv pip install --quiet --python $(VENV)/bin/python --no-deps -e .)
	@touch $@

demo: $(VENV)/.ready  ## the main job on real digits with a real (small) diffusion editor
	$(BENCH) run --lock modellock --attack prompt-search --store runs/demo
	$(BENCH) report --store runs/demo --out runs/demo-report

test: $(VENV)/.ready  ## every test
	$(VENV)/bin/pytest

lint: $(VENV)/.ready  ## style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

benchmark: $(VENV)/.ready  ## timed comparisons, never part of the tests
	$(VENV)/bin/pytest tests/benchmarks --benchmark-only --timeout=0

lock:  ## write requirements.lock anew
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
