# `make` lists the commands. Everything that is missing and can come from the system's package manager is installed.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
RESULTS := statewise-results
STRATEGIES := jwt session session-cached jwt-revocable introspection phantom
COMPOSE := $(shell if docker compose version >/dev/null 2>&1; then echo docker compose; \
	elif command -v docker-compose >/dev/null 2>&1; then echo docker-compose; fi)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Lists the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: toolchain ## Compares tokens and sessions on this machine, without Docker; the report is in statewise-results/
	scripts/install.sh redis
	cargo build --release --locked --workspace --bins
	scripts/demo.sh $(TARGET_DIR)/release/loadtest $(CURDIR)/$(RESULTS)

.PHONY: test
test: toolchain ## Runs all tests, against a real Redis, PostgreSQL and Prometheus
	scripts/install.sh redis postgresql prometheus curl jq
	cargo test --workspace --locked --no-fail-fast

.PHONY: check
check: toolchain check-shell check-compose check-deny ## Checks form, lints, documentation, scripts and the compose file
	cargo fmt --all --check
	rustfmt --edition 2024 --check fuzz/fuzz_targets/*.rs
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --locked

.PHONY: check-shell
check-shell:
	@# SC2034 calls a variable unused that is read by its name, as in "$${!name}".
	for script in .ci/run scripts/*.sh scripts/kubernetes/*.sh; do bash -n "$$script" || exit 1; done
	if command -v shellcheck >/dev/null; then shellcheck --severity=warning --exclude=SC2034 .ci/run scripts/*.sh scripts/kubernetes/*.sh; else echo "shellcheck is not installed: only the syntax of the scripts was checked"; fi

.PHONY: check-compose
check-compose:
	$(if $(COMPOSE),$(COMPOSE) --profile metrics config --quiet && POSTGRES_PASSWORD=x AUTH_KEY_ENCRYPTION_KEY=x $(COMPOSE) -f docker-compose.yml -f docker-compose.postgres.yml config --quiet,@echo "no docker compose here: docker-compose.yml was not checked")

# It takes minutes to build, so it is used where it is, and by a job of the workflow.
.PHONY: check-deny
check-deny:
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked --log-level error check licenses bans sources; else echo "cargo-deny is not installed: licences and sources of dependencies were not checked (cargo install cargo-deny --locked)"; fi

.PHONY: openapi
openapi: toolchain ## Renews docs/openapi/ from the services
	STATEWISE_WRITE_OPENAPI=1 cargo test --locked -p auth-service -p api-service -p gateway --test api --test proxy -- openapi description

.PHONY: schemathesis
schemathesis: toolchain ## Holds the services to their OpenAPI documents, three minutes
	scripts/install.sh redis curl jq
	scripts/schemathesis.sh

SECONDS ?= 60

.PHONY: fuzz
fuzz: toolchain ## Fuzzes what reads bytes that anybody may send, each target for SECONDS=60
	scripts/install.sh c++
	scripts/fuzz.sh $(SECONDS)

.PHONY: foreign
foreign: toolchain ## Has libraries of others verify our tokens, log in, renew and revoke, and ours take the tokens of others
	scripts/install.sh redis python3-venv node npm
	scripts/run-python.sh foreign-jose
	scripts/run-python.sh foreign-oauth

.PHONY: browser
browser: toolchain ## Logs in with a real browser at the page of the auth-service, and asks the capacity model of the report's page
	scripts/install.sh redis python3-venv chromium chromedriver
	scripts/run-python.sh browser $(SCREENSHOT)
	scripts/run-python.sh browser-report

.PHONY: jaeger
jaeger: toolchain ## Starts the system beside a real Jaeger, without Docker (needs Go; the first time it is built, ten minutes)
	scripts/install.sh redis python3-venv
	scripts/run-python.sh jaeger

IDLE ?= 0

.PHONY: test-jaeger
test-jaeger: toolchain ## Sends the tour of docs/traces.md to a real Jaeger and asks it (IDLE=SECONDS before; PICTURES=FOLDER)
	scripts/install.sh redis python3-venv $(if $(PICTURES),chromium chromedriver)
	scripts/run-python.sh jaeger-tour --idle $(IDLE) $(if $(PICTURES),--pictures $(PICTURES))

.PHONY: bench
bench: toolchain ## Measures the gateway against nginx and HAProxy, the load generator against its peers, then the crates
	scripts/install.sh redis nginx haproxy wrk curl jq
	cargo build --release --locked --workspace --bins
	scripts/bench-gateway.sh
	scripts/bench-loadtest.sh
	cargo bench --workspace --locked
	cargo test --release -p gateway --lib --locked cache -- --ignored --nocapture

FORM ?= full

.PHONY: trust
trust: toolchain ## Tests the load generator from outside: docs/trust.md (50 minutes, leave the machine alone; FORM=quick: 4; ONLY=ENTRY)
	scripts/install.sh redis python3-venv $(if $(filter full,$(FORM)),wrk)
	$(if $(STATEWISE_BIN_DIR),,cargo build --release --locked --workspace --bins)
	$(if $(filter full,$(FORM)),$(if $(OHA)$(shell command -v oha),,cargo install oha --version 1.16.0 --locked --root $(TARGET_DIR)/bench-peers))
	PATH="$(TARGET_DIR)/bench-peers/bin:$$PATH" PYTHONDONTWRITEBYTECODE=1 python3 scripts/trust \
		$(or $(STATEWISE_BIN_DIR),$(TARGET_DIR)/release) --form $(FORM) $(addprefix --only ,$(ONLY)) \
		--out $(if $(filter full,$(FORM)),docs,$(RESULTS))

.PHONY: repeated
repeated: toolchain ## Whether runs agree: five quick and three full comparisons, tables for docs/repeated.md (45 minutes)
	scripts/install.sh redis jq
	cargo build --release --locked --workspace --bins
	BIN_DIR=$(TARGET_DIR)/release scripts/repeated.sh $(RESULTS)/repeated

.PHONY: example
example: toolchain ## Renews docs/example, what the pages show of it and the schema from new runs (leave the machine alone, 40 minutes)
	scripts/install.sh redis jq python3 chromium chromedriver
	cargo build --release --locked --workspace --bins
	$(TARGET_DIR)/release/loadtest schema > docs/results.schema.json
	scripts/renew-example.sh $(PARTS)
	$(MAKE) quotes
	$(MAKE) browser STATEWISE_BIN_DIR=$(TARGET_DIR)/release SCREENSHOT=docs/example/page.png

.PHONY: freshness
freshness: toolchain ## Measures how long a revoked credential is accepted, for all six strategies with 3 replicas each
	scripts/install.sh redis
	cargo build --release --locked --workspace --bins
	$(TARGET_DIR)/release/loadtest freshness --replicas 3 $(addprefix --strategy ,$(STRATEGIES))

.PHONY: verdicts
verdicts: toolchain ## Writes docs/verdicts.md from the table that the conformance suite runs
	STATEWISE_WRITE_VERDICTS=1 cargo test --locked -p system-tests --test conformance the_document

.PHONY: configuration
configuration: toolchain ## Writes the settings in docs/configuration.md from what the programs say with --help
	cargo build --locked --workspace --bins
	STATEWISE_WRITE_CONFIGURATION=1 cargo test --locked -p system-tests --test documents settings

.PHONY: quotes
quotes: toolchain ## Renews the figures that pages quote from others, such as docs/answers.md
	STATEWISE_WRITE_QUOTES=1 cargo test --locked -p system-tests --test documents quotes

.PHONY: metrics-test
metrics-test: toolchain ## Has a real Prometheus scrape a system under load: rules, alerts made to fire, every query of the dashboard
	scripts/install.sh redis prometheus
	cargo build --workspace --locked --bins
	cargo test --locked -p system-tests --test metrics

.PHONY: metrics-docs
metrics-docs: toolchain ## Renews the table of metrics in docs/metrics.md from what the services tell
	scripts/install.sh redis prometheus
	cargo build --workspace --locked --bins
	STATEWISE_WRITE_METRICS=1 cargo test --locked -p system-tests --test metrics

.PHONY: compose-test
compose-test: ## Starts docker-compose.yml (all but Jaeger) as its own project, logs in, scales under load, stops
	scripts/compose-test.sh

.PHONY: swarm-test
swarm-test: toolchain ## Rolls, kills, scales, drains and loses under load on a swarm of three nodes (root; OPERATION="roll gateway": only that)
	scripts/install.sh debootstrap docker dockerd ip
	PYTHONDONTWRITEBYTECODE=1 scripts/with-docker.sh python3 scripts/swarm-test.py $(if $(OPERATION),"$(OPERATION)")

.PHONY: kubernetes-check
kubernetes-check: toolchain ## Holds deploy/kubernetes/ to the API's schemas and to what our programs take, without a cluster
	scripts/install.sh python3-venv
	scripts/run-python.sh kubernetes-check

.PHONY: kubernetes-test
kubernetes-test: toolchain ## Builds a cluster of one node (22 minutes, once) and restarts, scales, evicts, deletes and kills under load (root)
	scripts/install.sh debootstrap docker dockerd ip cni-plugins
	[ -x $(TARGET_DIR)/kubernetes/bin/coredns ] || scripts/kubernetes/build.sh $(TARGET_DIR)/kubernetes/bin
	PYTHONDONTWRITEBYTECODE=1 scripts/with-docker.sh sh -c 'scripts/images.sh 1 auth-service api-service gateway loadtest && \
		python3 scripts/kubernetes-test.py $(TARGET_DIR)/kubernetes/state $(TARGET_DIR)/kubernetes/bin $(OPERATION)'

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust, see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler (cc) is missing: apt-get install build-essential, dnf install gcc, apk add build-base or pacman -S gcc" >&2; exit 1; }
