# Everything starts here: `make demo` runs the whole path offline, `make test` passes the tests.
# Both set up their own environment; `make BIN=path/to/bin demo` uses one that exists.
VENV ?= .venv
BIN  ?= $(VENV)/bin
export PYTHONPATH := src
export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1

.PHONY: setup setup-all demo test check bench clean

setup: $(BIN)/.ready-dev

# The tests also use the rivals of the benchmarks, as oracles.
setup-all: $(BIN)/.ready-dev-bench

$(BIN)/.ready-dev: pyproject.toml constraints.txt scripts/setup
	scripts/setup $(VENV) dev

$(BIN)/.ready-dev-bench: pyproject.toml constraints.txt scripts/setup
	scripts/setup $(VENV) dev bench

demo: setup
	$(BIN)/python -m bimedix run recipes/tiny.toml --out runs/tiny

test: setup-all
	scripts/test $(BIN)

check: setup-all
	BIMEDIX_BIN=$(BIN) scripts/check

bench: setup-all
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

clean:
	rm -rf runs $(VENV)
