# Everything starts here: `make demo` runs the whole path offline, `make test` passes the tests.
# Both set up their own environment; `make BIN=path/to/bin demo` uses one that exists.
VENV ?= .venv
BIN  ?= $(VENV)/bin
export PYTHONPATH := src
export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1

.PHONY: setup demo test check bench clean

setup: $(BIN)/.bimedix-ready

$(BIN)/.bimedix-ready: pyproject.toml constraints.txt scripts/setup
	scripts/setup $(VENV)

demo: setup
	$(BIN)/python -m bimedix run recipes/tiny.toml --out runs/tiny

test: setup
	scripts/test $(BIN)

check: setup
	BIMEDIX_BIN=$(BIN) scripts/check

bench: setup
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

clean:
	rm -rf runs $(VENV)
