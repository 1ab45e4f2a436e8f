# Two commands: `make run` serves, `make test` proves. Everything else is for whoever changes the code.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
EXAMPLES ?= 2000
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What is downloaded must have a hash in a lock. Without build isolation that holds for the tools of a build, too.
LOCKED := $(PIP) install --require-hashes --no-build-isolation
UV_LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-package verbatim-record --custom-compile-command "make lock"

# Three processes for two processors, because tests wait, too; the tests of a module run in one of them. tests/lanes.py
# says which are heavy, pooled and first.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

# A service that a test starts would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-heavy test-pooled test-all lint types imports migrations properties demo bench bench-start \
	bench-reading bench-large bench-recorder bench-console bench-adoption chaos outages torture torture-phones overload console console-pictures \
	typescript lock openapi docs wheel clean

run: .venv/run  ## serve on 127.0.0.1:8000, with a PostgreSQL of its own unless DATABASE_URL names one
	@exec $(BIN)/verbatim serve

test: .venv/dev  ## run the tests that need nothing of the system, against a real PostgreSQL that they bring up themselves
	@$(PYTEST) -m 'not heavy' $(ARGS)

test-heavy: .venv/voice  ## run the others: those that need packages of the system, break servers, attack or measure
	@$(PYTEST) -m heavy $(ARGS)

test-pooled: .venv/dev  ## run once more, behind a PgBouncer in transaction mode, those whose SQL may meet a pooler
	@$(PYTEST) -m pooled --pooler pgbouncer $(ARGS)

test-all: test test-heavy test-pooled  ## run every test

lint: .venv/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/dev
	@$(BIN)/mypy

imports: .venv/dev
	@$(BIN)/lint-imports

migrations: .venv/dev  ## migrate a new database, and hold it against the models
	@rm -rf .cache/migrations
	@VERBATIM_DATA_DIR=.cache/migrations $(BIN)/verbatim migrate
	@VERBATIM_DATA_DIR=.cache/migrations $(BIN)/verbatim check

properties: .venv/dev  ## hold whatever may happen against a model, for long: EXAMPLES=2000
	@$(BIN)/python -m pytest tests/properties --examples $(EXAMPLES) --steps 80

demo: .venv/dev  ## a phone, the service and an orchestrator on this machine: a call, an intent, a task, to look at until Ctrl-C
	@$(BIN)/python -m examples.demo

bench: .venv/dev  ## rates and processor time, against echoes, the literal version and pgbench, in the same minutes
	@$(BIN)/python -m tests.benchmarks.bench

bench-large: .venv/dev  ## what requests cost among ROWS=10000000 messages and among 10,000; needs 0.9 kB of disk for each
	@$(BIN)/python -m tests.benchmarks.large --rows $(or $(ROWS),10000000)

bench-start: .venv/run  ## how soon the service is ready, and a worker's memory: REPLAY=<a file that `verbatim replay` reads>
	@$(BIN)/python -m tests.benchmarks.start $(if $(REPLAY),--replay $(REPLAY))

bench-reading: .venv/dev  ## how soon followers hear, and what pages of a long conversation, figures and summaries cost
	@$(BIN)/python -m tests.benchmarks.followers
	@$(BIN)/python -m tests.benchmarks.pages
	@$(BIN)/python -m tests.benchmarks.figures

bench-recorder: .venv/dev  ## what recording costs a pipeline, beside a task for each message
	@$(BIN)/python -m tests.benchmarks.recorder

bench-search: .venv/dev  ## searches, and what they cost who posts, among ROWS=10000000 messages; needs 1.6 kB of disk for each
	@rm -rf .cache/search
	@$(BIN)/python -m tests.benchmarks.search_corpus build .cache/search --rows $(or $(ROWS),10000000)
	@$(BIN)/python -m tests.benchmarks.search_corpus searches .cache/search; $(BIN)/python -m tests.benchmarks.search_corpus posts .cache/search
	@rm -rf .cache/search

bench-console: .venv/dev  ## how soon the console is usable, and whether a call of 10,000 messages scrolls without a stop
	@$(BIN)/python -m tests.benchmarks.console

bench-adoption: .venv/dev  ## how long a writer waits while a database of ROWS=1000000 conversations is adopted
	@ADOPTION_ROWS=$(or $(ROWS),1000000) $(BIN)/python -m pytest -s tests/migrations/test_under_load.py

outages: .venv/dev  ## a recorder whose service fails in each way that there is, SECONDS=60 each
	@OUTAGE=$(or $(SECONDS),60) $(BIN)/python -m pytest tests/clients/python/test_outages.py tests/clients/python/test_bad_service.py

torture: .venv/dev  ## CALLS=200 through a recorder whose network, disk, clock and process fail, and count what became of them
	@CALLS=$(or $(CALLS),200) $(BIN)/python -m pytest -s tests/clients/python/test_torture.py

chaos: .venv/dev  ## break everything while clients write, MINUTES=10 and SEED=1, and count what was lost
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1) --clients $(or $(CLIENTS),16)

overload: .venv/dev  ## attack and overload the service, SCENARIO="slow bodies" or all, and write docs/overload.md
	@$(BIN)/python -m tests.overload $(if $(SCENARIO),--scenario "$(SCENARIO)")

console: .venv/dev  ## build the console into backend/console/static/, which is committed
	@$(BIN)/python -m tests.console.build

console-pictures: .venv/dev  ## take the pictures in docs/pictures/ anew
	@CONSOLE_PICTURES=docs/pictures $(BIN)/python -m pytest tests/console/test_pictures.py

typescript: .venv/dev  ## build the TypeScript package, and run its tests against a service
	@$(BIN)/python -m pytest tests/clients/typescript $(ARGS)

torture-phones: .venv/dev  ## phones on a network, in apps, on storage and with clocks that all fail, CALLS=200 and SEED=16
	@CALLS=$(or $(CALLS),200) SEED=$(or $(SEED),16) $(BIN)/python -m pytest -s tests/clients/typescript/test_torture.py

openapi: .venv/dev  ## write openapi.json anew, and what the clients make of it
	@$(BIN)/python -m tests.architecture.test_openapi > openapi.json
	@$(BIN)/python clients/typescript/generate_types.py
	@$(BIN)/python clients/python/generate_models.py

docs: .venv/docs  ## build the pages into site/, strictly; it fails if one would fetch from another host
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lock: .venv/dev  ## resolve the pins anew; they agree with each other, since they share an environment
	@$(UV_LOCK) pyproject.toml --extra redis -o requirements.lock
	@$(UV_LOCK) --group build -c requirements.lock -o requirements-build.lock
	@$(UV_LOCK) pyproject.toml --extra redis --extra mcp --group dev -c requirements.lock -c requirements-build.lock -o requirements-dev.lock
	@$(UV_LOCK) --group docs -c requirements-dev.lock -o requirements-docs.lock
	@$(UV_LOCK) clients/python/pyproject.toml --extra pipecat --extra livekit -c requirements.lock -c requirements-build.lock \
		-o requirements-voice.lock

wheel: .venv/dev  ## build the wheels of the client package and of the server into dist/
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist ./clients/python .

clean:
	rm -rf .venv dist build site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/run: requirements.lock requirements-build.lock pyproject.toml clients/python/pyproject.toml
	@echo "Installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(LOCKED) --requirement requirements.lock --requirement requirements-build.lock
	@$(PIP) install --no-build-isolation --no-deps --editable ./clients/python --editable .
	@touch $@

.venv/dev: requirements-dev.lock .venv/run
	@echo "Installing the tools for development …"
	@$(LOCKED) --requirement requirements-dev.lock
	@touch $@

.venv/docs: requirements-docs.lock .venv/dev
	@echo "Installing MkDocs Material …"
	@$(LOCKED) --requirement requirements-docs.lock
	@touch $@

.venv/voice: requirements-voice.lock .venv/dev
	@echo "Installing Pipecat and LiveKit Agents …"
	@$(LOCKED) --requirement requirements-voice.lock
	@touch $@
