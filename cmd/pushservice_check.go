package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// optionFlags are the flags of the options that package pushservice checks.
var optionFlags = map[string]string{
	"Addr": "listen", "Chromium.Addr": "chromium-listen", "Chromium.AuthorityFile": "chromium-ca-out",
	"Origin": "origin", "Hosts": "host", "AllowOrigins": "allow-origin",
}

// check completes the options, and reports invalid flags and flags that contradict
// each other.
func (o *pushServiceOptions) check(c *cobra.Command) error {
	if err := o.certificateFiles.check(); err != nil {
		return err
	}
	changed := c.Flags().Changed
	ownCA := o.TLS && o.tlsCert == ""
	switch {
	case o.AuthorityFile != "" && !ownCA:
		return usage("add --tls, without --tls-cert", "--ca-out requires --tls")
	case changed("data") && o.data == "":
		return usage("name a directory, or omit --data", "--data is empty")
	case !o.withChromium && (changed("chromium-listen") || changed("chromium-ca-out")):
		return usage("add --chromium", "--chromium-listen and --chromium-ca-out require --chromium")
	}
	kept := []outputFile{{flag: "ca-out", name: o.AuthorityFile}, {flag: "chromium-ca-out", name: o.chromium.AuthorityFile}}
	for _, f := range kept {
		if f.name == "-" {
			return usage("name a file, or omit --"+f.flag, "--%s is -, expected a file that is kept", f.flag)
		}
	}
	if err := mayCreate(o.data, kept...); err != nil {
		return err
	}
	for _, text := range o.faults {
		f, err := pushservice.ParseFault(text)
		if err != nil {
			return faultProblem(err)
		}
		o.Faults = append(o.Faults, f)
	}
	o.Options.As, o.Options.HostHint = pushservice.Personality(o.as), "to accept it, use --host NAME"
	o.TLS = o.TLS || o.tlsCert != ""
	if ownCA {
		o.AuthorityFile = keptIn(o.data, o.AuthorityFile, "push-service-ca.pem")
	}
	host, _, _ := net.SplitHostPort(o.Addr)
	if o.withChromium {
		o.Chromium = &o.chromium
		o.chromium.Addr = cmp.Or(o.chromium.Addr, net.JoinHostPort(host, "5228"))
		o.chromium.AuthorityFile = keptIn(o.data, o.chromium.AuthorityFile, "push-service-chromium-ca.pem")
	}
	if option := (*pushservice.OptionError)(nil); errors.As(o.Check(), &option) {
		return usage(option.Hint(), "--%s: %s", optionFlags[option.Part], option.Problem)
	}
	if !webpush.Loopback(host) && !o.TLS && !o.plain {
		return usage("use --tls, or --allow-plain-http in a network that you trust", "--listen: other machines can reach %q, and plain HTTP exposes every endpoint", o.Addr)
	}
	return nil
}

// startProblem adds a hint to the error of a push service that did not start.
func startProblem(err error) error {
	var (
		listen    *pushservice.ListenError
		authority *pushservice.AuthorityError
		fault     *pushservice.Error
	)
	prefix := "--"
	if errors.As(err, &listen) && listen.Chromium || errors.As(err, &authority) && authority.Chromium {
		prefix = "--chromium-"
	}
	switch {
	case errors.As(err, &fault):
		return usage("name a subscription that is in --data, or omit subscription=", "--fault: %s", fault.Problem)
	case authority != nil:
		hint := "use " + prefix + "ca-out for other files"
		if len(authority.Files) > 0 {
			hint += "; to make a new CA, which must be trusted again: rm"
			for _, name := range authority.Files {
				hint += " " + shellWord(name)
			}
		}
		return withHint(err, hint)
	case listen != nil:
		return listenProblem(strings.TrimPrefix(prefix, "--")+"listen", err)
	}
	return err
}

// faultProblem returns the error for a fault that the push service rejects.
func faultProblem(err error) error {
	text := strings.TrimPrefix(err.Error(), "Invalid fault: ")
	return usage("write it as status=503,share=10%,retry-after=5", "--fault: %s", text)
}

// warnReadable warns if other users can read a file with secrets, if the system has
// such permissions.
func (s *streams) warnReadable(name string) {
	info, err := os.Stat(name)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && info.Mode().Perm()&0o111 == 0 && os.PathSeparator == '/' {
		s.warn(fmt.Sprintf("%s can be read by other users of this machine", name), "chmod 600 "+shellWord(name))
	}
}
