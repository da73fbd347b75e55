# The verbs of this project. Each installs what it needs and is missing (.ci/install),
# says what it runs, and can be run again. CI runs the same: .ci/run.

export PATH := $(CURDIR)/target/tools/bin:$(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo build test e2e-kubernetes lint fmt docs bench \
	e2e-setup e2e-rebuild-local-manager e2e-rebuild-local-daemon e2e-do-release e2e-do-another-release e2e-teardown

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## See the platform do its job on this machine; KEEP=1 leaves it running
	.ci/install
	cargo build --locked --workspace --bins
	@e2e-test/demo.sh target/debug

build: ## Build server, daemon, hamctl and artifact for use, in target/release
	.ci/install
	cargo build --locked --release --workspace --bins
	@echo "Built server, daemon, hamctl and artifact in target/release."

test: ## Run every test, against real git repositories and real processes
	.ci/install test
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace
	@echo "All tests passed."

e2e-kubernetes: ## Test the daemon and deploy/ against a real Kubernetes API; builds one the first time
	.ci/install test
	e2e-test/kubernetes/control-plane
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --test kubernetes
	@echo "All tests against Kubernetes passed."

lint: ## Check format, clippy, dependencies, licences and documentation
	.ci/install lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --locked check --hide-inclusion-graph --allow unused-wrapper bans licenses sources
	.ci/advisories
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	@echo "All checks passed."

fmt: ## Format the code
	.ci/install
	cargo fmt --all

docs: ## Make the reference anew (docs/reference), and man pages and completions (target/manual)
	.ci/install
	cargo build --locked --workspace --bins
	for program in server daemon hamctl artifact; do target/debug/$$program manual target/manual || exit 1; done
	mkdir -p docs/reference target/manual/completions && cp target/manual/*.md docs/reference/
	for shell in bash zsh fish; do target/debug/hamctl completion $$shell > target/manual/completions/hamctl.$$shell || exit 1; done

bench: ## Measure releases against a plain git push; SIZES="small medium large" chooses
	.ci/install
	cargo build --locked --release --package release-server
	cargo bench --locked --package release-e2e-test --bench load -- $(SIZES)

e2e-setup: ## With Docker and kind: the platform in a cluster with nodes; also e2e-do-release, e2e-rebuild-local-daemon, e2e-teardown, …
e2e-setup e2e-rebuild-local-manager e2e-rebuild-local-daemon e2e-do-release e2e-do-another-release e2e-teardown:
	e2e-test/kind/run $(@:e2e-%=%)
