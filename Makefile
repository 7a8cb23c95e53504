# `make` shows what there is to do.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
NODE := examples/node
WEB := tests/web
# Maven Central has CPythons for Linux as packages, numbered by their own version and by that of their packaging.
CPYTHONS ?= 3.12.1-1.5.10 3.13.5-1.5.12 3.14.3-1.5.13

# More at a time than there are cores: many tests wait. Who has nothing left to run takes over from the others.
PARALLEL = -n $(WORKERS) --dist worksteal

.PHONY: help run audit test test-fast test-faces test-node test-browser time-page types pythons test-pythons release-check check lint cover promises simulate interrupt cancel attack attack-web web-cuts soak format bench pictures clean

help:
	@echo 'make run           install into $(VENV) and start a broker'
	@echo 'make test          install into $(VENV) and run all tests but those of promises (TESTS=folder: those of one), WORKERS=4 at a time'
	@echo 'make promises      run those: the guarantees over faults, interruptions, real logs, and the simulation'
	@echo 'make test-fast     run the tests of the cores: no sockets, no processes, half a minute'
	@echo 'make test-faces    run the tests of the client over threads, asyncio and uvloop, all of them over each'
	@echo 'make test-node     run those of what is written in JavaScript, once npm has installed what they need'
	@echo 'make test-browser  run those of the page in Chromium (PICTURES=folder: keep the screenshots there)'
	@echo 'make time-page     how many bytes it has, and after how many ms it shows the first message, over LOADS=20'
	@echo 'make types         make zchat.d.ts from zchat.js'
	@echo 'make test-pythons  run the tests on each Python from 3.11 to 3.14 that this machine has'
	@echo 'make pythons       fetch a 3.12, 3.13 and 3.14 for it from Maven Central (needs mvn and x86-64)'
	@echo 'make check         all that must pass: lint, format, strict types, tests with branch coverage'
	@echo 'make simulate      run SEEDS=100 or SECONDS=60 of the simulation, from FIRST=n, or SEED=n again;'
	@echo '                   SEVERAL=1: with several brokers over one store'
	@echo 'make interrupt     break calls off at COUNT=10000 moments: what was lost, what came twice, what is left'
	@echo 'make cancel        cancel the tasks of clients in event loops for SECONDS=60: the same audit (SEED=n: one run again)'
	@echo 'make attack        let SEEDS=10000 clients live with a hostile broker, from FIRST=n'
	@echo '                   or, with MINUTES=5, put real brokers under everything hostile at once (SEED=n: the same again)'
	@echo 'make attack-web    have hostile pages send COUNT=1000000 commands to a gateway, from SEED=n'
	@echo 'make web-cuts      cut the connections of pages at any byte in RUNS=1000, with gateway and broker killed (SEED=n; needs node 20)'
	@echo 'make soak          put real processes under fault for MINUTES=10 (STORE=redis: over a Redis, which is killed too, KILLS=10 a round)'
	@echo 'make format        format the code and mend what the linter can mend'
	@echo 'make pictures      make the pictures of the README from real runs (needs tmux; some minutes)'
	@echo 'make release-check build what would be released, install it elsewhere and chat with it; put it into dist'
	@echo 'make audit         look the installed packages up in the database of known vulnerabilities'
	@echo 'make bench         measure zchat and its peers in 20 minutes, for docs/benchmarks.md (QUICK=1: see that it runs)'
	@echo 'make clean         remove everything that was made, $(VENV) too'
	@echo
	@echo 'PYTHON=python3.12 picks the Python (3.11 or newer) that $(VENV) is made with.'

run: $(VENV)/installed
	@exec $(BIN)/zchat broker

# Those of the promises take as long again; `make check` runs them too.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) $(or $(TESTS),--ignore=tests/promises --ignore=tests/web/browser)

test-fast: $(VENV)/installed-dev
	@$(BIN)/python -m tests.cores -n 2

test-faces: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) --uvloop tests/client tests/aio tests/promises/tasks

test-node: $(VENV)/installed-dev $(NODE)/node_modules/.package-lock.json $(WEB)/node_modules/.package-lock.json
	$(BIN)/python -m pytest -n 2 tests/node

test-browser: $(VENV)/installed-dev $(WEB)/node_modules/.package-lock.json
	ZCHAT_PICTURES=$(PICTURES) $(BIN)/python -m pytest -n 2 tests/web/browser

time-page: $(VENV)/installed-dev
	@$(BIN)/python -m tests.web.browser.loading --loads $(or $(LOADS),20)

types: $(WEB)/node_modules/.package-lock.json
	$(WEB)/node_modules/.bin/tsc --project $(WEB) --outDir zchat/web/static

# Each has a virtual environment of its own, .venv-3.12 and so on.
test-pythons:
	@$(PYTHON) -m tests.pythons --workers $(WORKERS) $(TESTS)

pythons: $(CPYTHONS:%=.pythons/%/made)

check: lint cover promises

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --project pyproject.toml

# The tests of promises find what no other test enters, faults; they run no line of their own, and long if it is traced.
cover: $(VENV)/installed-dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) --ignore=tests/promises --ignore=tests/node --ignore=tests/web/browser
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

promises: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) tests/promises

simulate: $(VENV)/installed-dev
	@$(BIN)/python -m tests.promises.simulation.run $(if $(SEVERAL),--several) $(if $(FIRST),--first $(FIRST)) $(if $(SEED),--seed $(SEED),$(if $(SECONDS),--seconds $(SECONDS),--seeds $(or $(SEEDS),100)))

interrupt: $(VENV)/installed-dev
	@$(BIN)/python -m tests.promises.interruptions --count $(or $(COUNT),10000)
	@$(BIN)/python -m tests.promises.tasks.broken_turns --count $(or $(COUNT),10000)

cancel: $(VENV)/installed-dev
	@$(BIN)/python -m tests.promises.tasks.run --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

attack: $(VENV)/installed-dev
	@$(BIN)/python -m $(if $(MINUTES),tests.attacks.long --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)),tests.attacks.run --seeds $(or $(SEEDS),10000) --first $(or $(FIRST),0))

attack-web: $(VENV)/installed-dev
	@$(BIN)/python -m tests.web.hostile --count $(or $(COUNT),1000000) --seed $(or $(SEED),0)

web-cuts: $(VENV)/installed-dev
	@$(BIN)/python -m tests.web.cuts --runs $(or $(RUNS),1000) $(if $(SEED),--seed $(SEED))

soak: $(VENV)/installed-dev
	@$(BIN)/python -m tests.promises.faults.soak$(if $(filter redis,$(STORE)),_redis $(if $(KILLS),--kills $(KILLS))) --minutes $(or $(MINUTES),10)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

release-check: $(VENV)/made
	@$(BIN)/python -m tests.release

# A package that can't be looked up fails it, as one with a vulnerability does: --strict alone says so.
audit: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	@$(BIN)/python -m pip list --format=freeze --exclude-editable > $(VENV)/audited
	$(BIN)/python -m pip_audit --strict --disable-pip --no-deps -r $(VENV)/audited || { \
	  echo 'audit failed: a vulnerability is listed above, or PyPI could not be asked about every package' >&2; exit 1; }

bench: $(VENV)/installed-bench
	@$(BIN)/python benchmarks/all.py $(if $(QUICK),--quick)

pictures: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[pictures]'
	$(BIN)/python docs/pictures/make.py

clean:
	rm -rf $(VENV) $(NODE)/node_modules $(WEB)/node_modules .venv-* .pythons build dist *.egg-info simulation-*.log \
	  .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find zchat tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# What is locked, without the packages' own scripts: zeromq brings its library with it.
%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	npm ci --prefix $* --ignore-scripts --no-audit --no-fund
	@touch $@

# What they bring of libffi is found beside the module that needs it.
.pythons/%/made:
	rm -rf $(@D) && mkdir -p $(@D)
	cd $(@D) && mvn -q -B dependency:unpack -Dartifact=org.bytedeco:cpython:$*:jar:linux-x86_64 -DoutputDirectory=.
	cd $(@D)/org/bytedeco/cpython/linux-x86_64 && chmod +x bin/* && cp libffi.so.* lib/python3.*/lib-dynload
	@touch $@

# An interrupted or failed step leaves no file behind, and is done again by the next call.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "zchat needs Python 3.11 or newer and $(PYTHON) is not; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-bench: $(VENV)/made setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $(VENV)/installed $@

$(VENV)/installed-dev: $(VENV)/made setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/installed $@
