# What one does with this project; each is a line that could be typed. `make help` lists them.

# The database that `make e2e` and `make bench` run on.
BACKEND ?= sqlite
# Those that `make test` runs on. Servers are started for it, and installed where they are missing, if apt can do that.
BACKENDS ?= sqlite,postgres,mysql
# Makes the book.
MDBOOK ?= mdbook
# Further options for `make bench` and `make e2e`, such as ARGS="--scenario put".
ARGS ?=

# Starts database servers for a command. It is built with what the tests need, so that nothing is compiled twice.
TESTDB = cargo build -q --workspace --all-features --bin testdb && $${CARGO_TARGET_DIR:-target}/debug/testdb run
comma := ,
ASKED = $(subst mariadb,mysql,$(subst $(comma), ,$(BACKENDS)))
WITHOUT = $(filter-out $(ASKED),sqlite postgres mysql)
# Where a backend is left out, so are its crates and all tests that need every kind of server.
CRATES = --workspace --all-features $(if $(WITHOUT),--exclude syncserver --exclude network-engine --exclude testdb) \
	$(foreach b,$(WITHOUT),--exclude syncstorage-$(b) --exclude tokenserver-$(b))
# What runs on one backend after the other: the tests of the whole server. All crates' tests have done that on SQLite.
EACH = $(if $(WITHOUT),$(ASKED),postgres mysql)
WHOLE = $(if $(WITHOUT),-p syncserver --lib --test packaging,--workspace --all-features --test cluster) \
	--test http --test process --test wire

.PHONY: help run build test lint fmt e2e browser api-check bench deb docs

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 11

run: ## Serve Sync on http://127.0.0.1:8000, with no configuration
	cargo run --release --bin syncserver

build: ## Build the server: target/release/syncserver
	cargo build --release --bin syncserver

test: ## Run all tests but the one with real Firefoxes, on BACKENDS
	.ci/install nginx nginx apache2 apache2-bin caddy caddy curl curl systemd-analyze systemd promtool prometheus
	$(TESTDB) $(BACKENDS) -- cargo test $(CRATES)
	$(TESTDB) $(BACKENDS) -- sh -c 'for b in $(EACH); do TEST_BACKEND=$$b cargo test $(WHOLE) || exit 1; done'

lint: ## What has to pass before anything lands, besides the tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

fmt: ## Format the code
	cargo fmt --all

e2e: build ## Have two real Firefoxes sync through the server (needs firefox-esr and python3)
	$(TESTDB) --database sync $(BACKEND) -- \
		python3 tools/firefox-e2e/run.py --binary target/release/syncserver --backend $(BACKEND) $(ARGS)

browser: build ## Look at the front page in a real Chromium (needs chromium, chromedriver, npm and python3)
	python3 tools/browser/run.py --binary target/release/syncserver $(ARGS)

api-check: build ## Hold the server against its OpenAPI description (needs python3 with venv; installs schemathesis)
	python3 tools/api-check/run.py --binary target/release/syncserver $(ARGS)

bench: build ## Measure the server: whole, under load, and its inner parts
	cargo bench -p syncserver --bench inner
	cargo run --release -p bench -- --spawn target/release/syncserver --backend $(BACKEND) $(ARGS)

deb: build ## Build a Debian package in target/debian (needs cargo-deb: cargo install cargo-deb)
	mkdir -p target/deb/man
	target/release/syncserver man --out-dir target/deb/man
	target/release/syncserver completions bash > target/deb/syncserver.bash
	target/release/syncserver completions zsh > target/deb/_syncserver
	target/release/syncserver completions fish > target/deb/syncserver.fish
	sed 's|^#data_dir =  # example: |data_dir = |' config/syncserver.toml > target/deb/syncserver.toml
	cargo deb -p syncserver --no-build

docs: ## Build the book: docs/book (needs mdbook: cargo install mdbook)
	$(MDBOOK) build docs
