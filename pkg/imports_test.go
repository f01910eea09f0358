// Package pkg holds no code: its tests enforce which package may use which, and
// measure the built command.
package pkg

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed81da77dd/webpush"

// importRule says what a package may depend on.
type importRule struct {
	pkg    string
	forbid []string // packages, or the beginning of their paths, in all that it depends on
	own    []string // packages of pkg/ that it may depend on, with everything that these may depend on
}

var importRules = []importRule{
	{"pkg/internal/b64", []string{"net", "crypto"}, nil},
	{"pkg/internal/filelock", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/atomicfile", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/diskfull", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/fileio", []string{"net", "crypto", "github.com"}, []string{"pkg/internal/atomicfile", "pkg/internal/diskfull"}},
	{"pkg/printable", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/certificate", []string{"net/http", "github.com"}, nil},
	{"pkg/internal/limit", []string{"net", "github.com"}, nil},
	{"pkg/browser", nil, nil},
	{"pkg/internal/browsertest", nil, []string{"pkg/browser"}},
	{"pkg/internal/pattern", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/pgtest", nil, nil},
	{"pkg/internal/pipetest", []string{"crypto", "github.com"}, nil},
	{"pkg/internal/netaddr", []string{"crypto", "net/http", "github.com"}, nil},
	{"pkg/internal/notation", []string{"net/http", "crypto", "github.com"}, []string{"pkg/internal/b64", "pkg/internal/pattern"}},
	{"pkg/internal/pushtest", []string{"github.com/spf13"}, []string{"pkg/vapid"}},
	{"pkg/internal/declarative", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/text", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/waittest", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/mcs", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/internal/fields", []string{"net", "crypto", "github.com"}, nil},
	{"pkg/vapid", []string{"net/http"}, []string{"pkg/internal/b64", "pkg/internal/fields", "pkg/internal/netaddr", "pkg/internal/notation", "pkg/internal/text"}},
	{"pkg/keyfile", []string{"net/http"}, []string{"pkg/fileio", "pkg/vapid"}},
	{"pkg/ece", []string{"net/http", "github.com"}, []string{"pkg/internal/b64", "pkg/internal/fields", "pkg/internal/text"}},
	{"pkg/internal/pipeline", []string{"github.com"}, nil},
	{"pkg/webpush", nil, []string{"pkg/internal/declarative", "pkg/internal/netaddr", "pkg/internal/notation", "pkg/internal/pipeline", "pkg/vapid", "pkg/ece"}},
	{"pkg/preflight", []string{"database/sql"}, []string{"pkg/webpush"}},
	{"pkg/bulk", nil, []string{"pkg/fileio", "pkg/internal/filelock", "pkg/preflight", "pkg/printable"}},
	{"pkg/inspect", []string{"database/sql"}, []string{"pkg/bulk"}},
	{"pkg/queue", []string{"database/sql"}, []string{"pkg/bulk"}},
	{"pkg/pushservice", []string{"database/sql"}, []string{"pkg/internal/atomicfile", "pkg/internal/certificate", "pkg/internal/mcs", "pkg/internal/netaddr", "pkg/vapid"}},
	{"pkg/pushservice/receiver", []string{"database/sql"}, []string{"pkg/pushservice", "pkg/ece"}},
	{"pkg/pushservice/sqlite", nil, []string{"pkg/internal/diskfull", "pkg/internal/filelock", "pkg/pushservice"}},
	{"pkg/useragent", nil, []string{"pkg/internal/atomicfile", "pkg/internal/declarative", "pkg/internal/filelock", "pkg/internal/mcs", "pkg/internal/netaddr", "pkg/vapid", "pkg/ece"}},
	{"pkg/appserver", nil, []string{"pkg/bulk", "pkg/internal/certificate", "pkg/printable"}},
	{"pkg/appserver/sqlite", nil, []string{"pkg/appserver"}},
	{"pkg/appserver/postgres", nil, []string{"pkg/appserver"}},
	{"pkg/appserver/database", nil, []string{"pkg/appserver/sqlite", "pkg/appserver/postgres"}},
	{"pkg/appserver/storetest", nil, []string{"pkg/appserver"}},
}

// allowedImports returns own, and everything that these packages may depend on.
func allowedImports(own []string) []string {
	return closure(own, func(pkg string) []string {
		for _, r := range importRules {
			if r.pkg == pkg {
				return r.own
			}
		}
		return nil
	})
}

// closure returns the packages with everything that they may import, directly or not,
// each once.
func closure(pkgs []string, may func(pkg string) []string) []string {
	all := slices.Clone(pkgs)
	for i := 0; i < len(all); i++ {
		for _, pkg := range may(all[i]) {
			if !slices.Contains(all, pkg) {
				all = append(all, pkg)
			}
		}
	}
	return all
}

// TestImports enforces the design's table: one RFC or one role a package, and
// nothing that a role must not know.
func TestImports(t *testing.T) {
	cli := []string{"github.com/spf13", "github.com/fatih/color", module + "/cmd"}
	drivers := map[string][]string{ // and clients of other engines, and the packages that may use them
		"modernc.org/sqlite":         {"pkg/appserver/sqlite", "pkg/appserver/database", "pkg/pushservice/sqlite"},
		"github.com/jackc/pgx/v5":    {"pkg/appserver/postgres", "pkg/appserver/database"},
		"github.com/nats-io/nats.go": {"pkg/queue"},
	}
	all := packages(t, module, module+"/cmd", module+"/pkg/...")
	known := make(map[string]bool)
	for _, r := range importRules {
		known[module+"/"+r.pkg] = true
		allowed := allowedImports(r.own)
		p, ok := all[module+"/"+r.pkg]
		if !ok {
			t.Errorf("%s does not exist", r.pkg)
		}
		for _, dep := range p.Deps {
			own := strings.HasPrefix(dep, module)
			if own && !slices.Contains(allowed, strings.TrimPrefix(dep, module+"/")) {
				t.Errorf("%s depends on %s", r.pkg, dep)
			}
			for _, f := range append(r.forbid, cli...) {
				if dep == f || strings.HasPrefix(dep, f+"/") {
					if f == "github.com" && own {
						continue
					}
					t.Errorf("%s depends on %s", r.pkg, dep)
				}
			}
			if may := drivers[dep]; may != nil && !slices.Contains(may, r.pkg) {
				t.Errorf("%s depends on %s, the client of an engine", r.pkg, dep)
			}
			if dep == "github.com/golang-jwt/jwt/v5" && (r.pkg == "pkg/ece" || r.pkg == "pkg/internal/b64") {
				t.Errorf("%s depends on %s", r.pkg, dep)
			}
		}
	}
	for pkg, p := range all {
		if !strings.HasPrefix(pkg, module+"/pkg") {
			continue
		}
		if pkg != module+"/pkg" && !known[pkg] {
			t.Errorf("%s has no rule here", pkg)
		}
		if pkg == module+"/pkg/vapid" || pkg == module+"/pkg" {
			continue
		}
		if slices.Contains(p.Imports, "github.com/golang-jwt/jwt/v5") {
			t.Errorf("%s imports golang-jwt, which pkg/vapid alone may", pkg)
		}
	}
	for _, dep := range all[module].Deps {
		if strings.HasPrefix(dep, "github.com/nats-io/nats-server") {
			t.Errorf("the command has %s linked in, which is for tests", dep)
		}
	}
	for _, imported := range all[module+"/cmd"].Imports {
		if strings.HasPrefix(imported, "github.com/nats-io") {
			t.Errorf("cmd imports %s, which pkg/queue alone may", imported)
		}
		if strings.HasPrefix(imported, "crypto") || strings.HasPrefix(imported, "github.com/golang-jwt") {
			t.Errorf("cmd imports %s: cryptography belongs to pkg/", imported)
		}
	}
}

// goPackage is what go list says of a package without its tests.
type goPackage struct {
	ImportPath string
	Imports    []string // directly
	Deps       []string // directly or not
}

// packages returns the packages that match the patterns, by their path.
func packages(t *testing.T, patterns ...string) map[string]goPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", patterns, err)
	}
	all := make(map[string]goPackage)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	if len(all) < len(patterns) {
		t.Fatalf("go list %v: %d packages", patterns, len(all))
	}
	return all
}
