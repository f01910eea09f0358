package pushservice

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// The usual addresses of a push service on this machine, and of its listener for
// Chromium's channel.
const (
	DefaultAddr         = "127.0.0.1:8090"
	DefaultChromiumAddr = "127.0.0.1:5228"
)

// ServerOptions configures [Start].
type ServerOptions struct {
	// Addr is the host:port to listen on; empty means 127.0.0.1:0. Port 0 means any
	// free port.
	Addr string
	// AnyPort listens on a free port if the one of Addr, or of Chromium.Addr, is in
	// use or not permitted.
	AnyPort bool
	// TLS serves https, with HTTP/2, with a certificate for Addr's host, localhost,
	// 127.0.0.1, and ::1. It is signed by a certificate authority that is
	// constrained to these names.
	TLS bool
	// AuthorityPEM is the certificate authority of another server, as returned by
	// [Server.AuthorityPEM]: clients that trust that server also trust this one. If
	// empty, a new authority is made. If it cannot be used, the error is an
	// [*AuthorityError].
	AuthorityPEM []byte
	// AuthorityFile keeps the authority in files, for the next start, if
	// AuthorityPEM is empty: the certificate in the file with this name, and the
	// private key, readable by its owner alone, in [AuthorityKeyFile]. They are
	// created if neither exists.
	AuthorityFile string
	// CertificatePEM and KeyPEM, if given, are used instead of that certificate,
	// with TLS.
	CertificatePEM, KeyPEM []byte
	// Chromium, if not nil, adds the listener for Chromium's channel.
	Chromium *ChromiumOptions
	// Storage keeps the service's data, as [Open] describes, and is closed with
	// the server or if Start fails. If nil, everything is kept in memory.
	Storage Storage
	// Faults are the failures to inject from the start, see [Service.AddFault].
	Faults []Fault
	// Options configures the service.
	Options Options
}

// OptionError reports an invalid field of [ServerOptions].
type OptionError struct {
	// Part is the field: Addr, Chromium.Addr, Chromium.AuthorityFile, or, of Options,
	// Origin, Hosts, AllowOrigins, or As.
	Part string
	// Problem describes the problem and quotes the value.
	Problem string

	hint string
}

// Error returns the field and the problem.
func (e *OptionError) Error() string { return e.Part + ": " + e.Problem }

// Hint returns the expected form of the value, or "".
func (e *OptionError) Hint() string { return e.hint }

// Check returns an [*OptionError] for the first invalid field, as [Start] does.
func (o ServerOptions) Check() error {
	if err := checkAddr("Addr", o.Addr, DefaultAddr); err != nil {
		return err
	}
	if c := o.Chromium; c != nil {
		if err := checkAddr("Chromium.Addr", c.Addr, DefaultChromiumAddr); err != nil {
			return err
		}
		if o.TLS && len(o.CertificatePEM) == 0 && sameFiles(c.AuthorityFile, o.AuthorityFile) {
			return &OptionError{"Chromium.AuthorityFile", fmt.Sprintf("%q is the file of the authority for TLS", c.AuthorityFile), "name another file"}
		}
	}
	if origin := o.Options.Origin; origin != "" && !isOrigin(origin) {
		return &OptionError{"Origin", fmt.Sprintf("%q is not an origin", origin), "write it as https://push.example.net, without a path"}
	}
	for _, name := range o.Options.Hosts {
		if name == "" || strings.ContainsAny(name, "/:@?# ") && !strings.HasPrefix(name, "[") {
			return &OptionError{"Hosts", fmt.Sprintf("%q is not a host name", name), "write it as push.example.net, without scheme and port"}
		}
	}
	for _, page := range o.Options.AllowOrigins {
		if !isOrigin(page) {
			return &OptionError{"AllowOrigins", fmt.Sprintf("%q is not an origin", page), "write it as http://localhost:3000, without a path"}
		}
	}
	if _, known := personalityOf(o.Options.As); !known {
		return &OptionError{"As", fmt.Sprintf("unknown personality %q", o.Options.As), "use one of " + strings.Join(Personalities(), ", ")}
	}
	return nil
}

// sameFiles reports whether two authorities would be kept in a common file.
func sameFiles(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	files := func(certificate string) []string {
		if full, err := filepath.Abs(certificate); err == nil {
			certificate = full
		}
		return []string{certificate, AuthorityKeyFile(certificate)}
	}
	return slices.ContainsFunc(files(a), func(name string) bool { return slices.Contains(files(b), name) })
}

func isOrigin(s string) bool {
	origin, err := vapid.Origin(s)
	return err == nil && origin == s
}

// checkAddr checks an address to listen on. An empty one means the default.
func checkAddr(part, addr, example string) error {
	if addr == "" {
		return nil
	}
	problem := func(format string, a ...any) error {
		return &OptionError{part, fmt.Sprintf("%q ", addr) + fmt.Sprintf(format, a...), "write it as " + example}
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return problem("is not an address: %s", strings.TrimPrefix(err.Error(), "address "+addr+": "))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return problem("has the port %q, expected 0 to 65535", port)
	}
	return nil
}
