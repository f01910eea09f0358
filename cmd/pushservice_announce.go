package cmd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// startProblem adds a hint to the error of a push service that did not start.
func startProblem(err error) error {
	var listen *pushservice.ListenError
	var authority *pushservice.AuthorityError
	prefix := "--"
	if errors.As(err, &listen) && listen.Chromium || errors.As(err, &authority) && authority.Chromium {
		prefix = "--chromium-"
	}
	switch {
	case authority != nil:
		hint := "use " + prefix + "ca-out for other files"
		if len(authority.Files) > 0 {
			hint += "; to make a new CA, which must be trusted again: rm"
			for _, name := range authority.Files {
				hint += " " + shellWord(name)
			}
		}
		return withHint(err, hint)
	case listen != nil && strings.Contains(err.Error(), "address already in use"):
		return withHint(err, "another program listens there; choose another port with "+prefix+"listen, or 0 for any free port")
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

// chromiumSettings are the flags and environment variables that senders need to
// reach the endpoints of Chromium.
type chromiumSettings struct {
	Address   string   `json:"address"`
	CAFile    string   `json:"caFile"`
	ConnectTo []string `json:"connectTo"`
	Proxy     string   `json:"httpsProxy"`
}

func newChromiumSettings(a pushservice.ChromiumAccess, ca string) *chromiumSettings {
	return &chromiumSettings{Address: a.Address, CAFile: ca, ConnectTo: a.ConnectTo(), Proxy: a.Proxy()}
}

// sendFlags returns the flags of webpush send.
func (v *chromiumSettings) sendFlags() string {
	var b strings.Builder
	for _, c := range v.ConnectTo {
		b.WriteString("--connect-to " + shellWord(c) + " ")
	}
	return b.String() + "--ca-file " + shellWord(v.CAFile)
}

// note prints the settings of senders.
func (v *chromiumSettings) note(s *streams) {
	s.note("a user agent like Chromium in a terminal: webpush listen --server chromium://%s --ca-file %s", v.Address, shellWord(v.CAFile))
	s.note("send to Chromium with: webpush send %s", v.sendFlags())
	s.note("  or, with other senders: HTTPS_PROXY=%s", v.Proxy)
	file := shellWord(absolute(v.CAFile)) // for programs that run elsewhere
	s.note("  and NODE_EXTRA_CA_CERTS=%s (Node.js) or REQUESTS_CA_BUNDLE=%s (Python)", file, file)
	s.note("  never install %s in a system or a browser: this CA can sign certificates for hosts of Google", v.CAFile)
}

// noteBrowser prints the command that starts a browser with the push service.
func (o *pushServiceOptions) noteBrowser(s *streams, server *pushservice.Server) {
	name, flag := "firefox", ""
	if server.Chromium != nil {
		name = "chromium"
	}
	if _, address, _ := strings.Cut(server.URL, "://"); address != defaultPushService {
		flag = " --push-service " + server.URL
	}
	s.note("a browser with a new profile: webpush browser %s%s http://localhost:…", name, flag)
}

// announce prints the address of the push service and the settings of its clients.
func (o *pushServiceOptions) announce(s *streams, server *pushservice.Server) error {
	socket := server.WebSocket()
	var chromium *chromiumSettings
	if server.Chromium != nil {
		chromium = newChromiumSettings(server.Chromium.Access(), o.chromiumCAOut)
	}
	if s.json {
		v := struct {
			URL       string            `json:"url"`
			WebSocket string            `json:"webSocket"`
			CAFile    string            `json:"caFile,omitempty"`
			Chromium  *chromiumSettings `json:"chromium,omitempty"`
		}{server.URL, socket, o.caOut, chromium}
		if err := s.printJSON(v); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(s.out, server.URL)
		s.note("listening on %s until interrupted", server.URL)
		if o.data != "" {
			subscriptions, messages := server.Service.Subscriptions(), 0
			for _, sub := range subscriptions {
				messages += sub.Messages
			}
			s.note("the data in %s has %s and %s", o.data, plural(len(subscriptions), "subscription"), plural(messages, "message"))
		}
		ca := ""
		if o.caOut != "" {
			ca = " --ca-file " + shellWord(o.caOut)
		}
		s.note("a user agent in a terminal: webpush listen --server %s%s", socket, ca)
		s.note("Firefox: in about:config, set dom.push.serverURL = %s/", socket)
		if strings.HasPrefix(socket, "ws:") {
			s.note("  and dom.push.testing.allowInsecureServerURL = true")
		}
		if ca != "" {
			s.note("  and import %s in Settings, Certificates, Authorities", o.caOut)
			s.note("send with: webpush send%s", ca)
		}
		o.noteBrowser(s, server)
		if chromium != nil {
			chromium.note(s)
		}
	}
	host, port, _ := net.SplitHostPort(o.listen)
	if o.data != "" && o.origin == "" && port == "0" {
		s.warn("endpoints of earlier runs are no longer valid, because their port differs", "use a fixed port, such as --listen 127.0.0.1:8090")
	}
	if !loopback(host) {
		s.warn("anyone who can reach "+o.listen+" can read and expire every subscription", "listen on 127.0.0.1 unless other machines need it")
		if len(o.hosts) == 0 && o.origin == "" {
			s.note("requests for other host names are refused; for containers, add --host host.docker.internal or the name that they use")
		}
	}
	return nil
}
