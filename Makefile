# make help lists the targets.
GO       ?= go
PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 20000x
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
MISSPELL    = github.com/golangci/misspell/cmd/misspell@v0.8.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
GORELEASER  = github.com/goreleaser/goreleaser/v2@v2.17.0
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
SHELLS    = bash zsh fish powershell

# The binary is static. Otherwise, all targets use the settings of go run and go test, so
# they reuse what those have compiled (without a C compiler all of it); the release adds
# -trimpath, which would compile everything again.
export CGO_ENABLED = 0

.PHONY: help build test check lint race fuzz e2e bench man completions cross install uninstall snapshot clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build ./webpush
	$(GO) build -ldflags '-s -w' -o webpush .

test: ## run the quick tests, which need only Go
	$(GO) test ./...

check: lint race fuzz cross ## run every check that must pass

lint: ## check gofmt, go.mod, vet, staticcheck, American spelling, and known vulnerabilities if their database can be reached
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(MISSPELL) -error -locale US -i recognise,recognised *.md .github/*.md cmd pkg
	@if $(GO) run $(GOVULNCHECK) ./... > .govulncheck.out 2>&1; then tail -n 1 .govulncheck.out; \
	elif grep -q 'GO-20' .govulncheck.out; then cat .govulncheck.out; rm -f .govulncheck.out; exit 1; \
	else echo 'SKIPPED govulncheck: its database cannot be reached from here'; fi; rm -f .govulncheck.out

race: export CGO_ENABLED = 1
race: ## run the tests with the race detector, which needs a C compiler
	@if command -v "$$($(GO) env CC)" >/dev/null; then $(GO) test -race ./...; \
	else echo 'SKIPPED the race detector: no C compiler found. The tests run without it.'; CGO_ENABLED=0 $(GO) test ./...; fi

# A number of inputs, because at the end of a time go test may stop in the middle of
# one and fail with "context deadline exceeded".
fuzz: ## run each fuzz target for FUZZTIME (20000x: 20,000 inputs)
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "fuzz $$pkg $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

e2e: ## run the tests with real browsers, servers, databases, and packages of npm and Python, where available
	$(GO) vet -tags e2e ./...
	$(GO) test -tags e2e -count 1 -v -timeout 15m -p 1 -run '^(TestFirefox|TestChromium|TestBrowser|TestNpmWebPush|TestReadmeCI|TestContract|TestTrackingWorkers|TestPipeline(Nginx|Nghttpx)|TestPostgres|TestQueue)' ./pkg/internal/pipeline ./pkg/pushservice ./pkg/appserver/... ./cmd

bench: build ## measure encryption, sending, servers, and the start of a command
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/ece ./pkg/webpush
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 20m ./pkg
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 10m ./pkg/appserver
	$(GO) test -tags e2e -run '^$$' -bench Postgres -benchtime 1x -timeout 10m ./pkg/appserver/postgres
	$(GO) test -run '^$$' -bench Message -benchmem ./pkg/pushservice
	@echo '1,000 connected user agents: 100,000 messages, none lost or repeated; then 20,000 with a push service that keeps them'
	$(GO) test -run '^$$' -bench Agents/memory -benchtime 100x ./pkg/useragent
	$(GO) test -run '^$$' -bench Agents/data -benchtime 20x ./pkg/useragent
	@echo '1,000 devices connected by MCS (Chromium): 20,000 messages, none lost or repeated, in memory and with a push service that keeps them'
	$(GO) test -run '^$$' -bench MCS -benchtime 20x ./pkg/pushservice
	@echo 'the memory of a push service for each of 5,000 idle user agents'
	$(GO) test -run '^$$' -bench Idle -benchtime 1x ./pkg/pushservice
	@sh cmd/testdata/startup.sh ./webpush

man: ## generate the manual pages from the commands
	$(GO) test ./cmd -run '^TestManPages$$' -update

completions: build ## write the completion scripts of the shells to completions/
	@mkdir -p completions
	@for s in $(SHELLS); do ./webpush completion $$s > completions/webpush.$$s || exit 1; done

cross: ## compile for every platform that is released
	@for p in $(PLATFORMS); do \
		echo "build $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null . || exit 1; \
	done

install: build completions ## install to DESTDIR and PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 0755 webpush $(DESTDIR)$(PREFIX)/bin/webpush
	install -m 0644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 0644 man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7/
	install -m 0644 completions/webpush.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/webpush
	install -m 0644 completions/webpush.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_webpush
	install -m 0644 completions/webpush.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/webpush.fish

uninstall: ## remove the files that install wrote
	rm -f $(DESTDIR)$(PREFIX)/bin/webpush $(DESTDIR)$(PREFIX)/share/man/man1/webpush.1 $(DESTDIR)$(PREFIX)/share/man/man1/webpush-*.1 $(DESTDIR)$(PREFIX)/share/man/man7/webpush-*.7 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/webpush $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_webpush \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/webpush.fish

snapshot: ## build the release's archives and packages into dist/, without publishing
	$(GO) run $(GORELEASER) release --snapshot --clean

clean: ## remove the files that the other targets wrote
	rm -rf webpush dist completions
