package cmd

import (
	"net"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

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

// sendFlags returns the flags of webpush send that reach the endpoints of Chromium.
func sendFlags(connectTo []string, ca string) string {
	var flags []string
	for _, c := range connectTo {
		flags = append(flags, "--connect-to "+shellWord(c))
	}
	if ca != "" {
		flags = append(flags, "--ca-file "+shellWord(ca))
	}
	return strings.Join(flags, " ")
}

// note prints the settings of senders.
func (v *chromiumSettings) note(s *streams) {
	s.note("a user agent like Chromium in a terminal: webpush listen --server chromium://%s --ca-file %s", v.Address, shellWord(v.CAFile))
	s.note("send to Chromium with: webpush send %s", sendFlags(v.ConnectTo, v.CAFile))
	s.note("  or, with other senders: HTTPS_PROXY=%s", v.Proxy)
	file := shellWord(absolute(v.CAFile)) // for programs that run elsewhere
	s.note("  and NODE_EXTRA_CA_CERTS=%s (Node.js) or REQUESTS_CA_BUNDLE=%s (Python)", file, file)
	s.note("  never install %s in a system or a browser: this CA can sign certificates for hosts of Google", v.CAFile)
}

// announce prints the address of the push service and the settings of its clients.
func (o *pushServiceOptions) announce(s *streams, server *pushservice.Server) error {
	var chromium *chromiumSettings
	if server.Chromium != nil {
		chromium = newChromiumSettings(server.Chromium.Access(), o.Chromium.AuthorityFile)
	}
	if err := s.printURL(server.URL, struct {
		URL       string            `json:"url"`
		WebSocket string            `json:"webSocket"`
		CAFile    string            `json:"caFile,omitempty"`
		Chromium  *chromiumSettings `json:"chromium,omitempty"`
	}{server.URL, server.WebSocket(), o.AuthorityFile, chromium}); err != nil {
		return err
	}
	if !s.json {
		o.note(s, server)
		if chromium != nil {
			chromium.note(s)
		}
	}
	host, port, _ := net.SplitHostPort(o.Addr)
	if o.data != "" && o.Options.Origin == "" && port == "0" {
		s.warn("endpoints of earlier runs are no longer valid, because their port differs", "use a fixed port, such as --listen "+pushservice.DefaultAddr)
	}
	if !webpush.Loopback(host) {
		s.warn("anyone who can reach "+o.Addr+" can read and expire every subscription", "listen on 127.0.0.1 unless other machines need it")
		if len(o.Options.Hosts) == 0 && o.Options.Origin == "" {
			s.note("requests for other host names are refused; for containers, add --host host.docker.internal or the name that they use")
		}
	}
	return nil
}

// note prints the settings of user agents and senders.
func (o *pushServiceOptions) note(s *streams, server *pushservice.Server) {
	s.note("listening on %s until interrupted", server.URL)
	if o.data != "" {
		subscriptions, messages := server.Service.Subscriptions(), 0
		for _, sub := range subscriptions {
			messages += sub.Messages
		}
		s.note("the data in %s has %s and %s", o.data, plural(len(subscriptions), "subscription"), plural(messages, "message"))
	}
	socket, ca := server.WebSocket(), ""
	if o.AuthorityFile != "" {
		ca = " --ca-file " + shellWord(o.AuthorityFile)
	}
	s.note("a user agent in a terminal: webpush listen --server %s%s", socket, ca)
	s.note("Firefox: in about:config, set dom.push.serverURL = %s/", socket)
	if !o.TLS {
		s.note("  and dom.push.testing.allowInsecureServerURL = true")
	}
	if ca != "" {
		s.note("  and import %s in Settings, Certificates, Authorities", o.AuthorityFile)
		s.note("send with: webpush send%s", ca)
	}
	name, flag := "firefox", ""
	if server.Chromium != nil {
		name = "chromium"
	}
	if _, address, _ := strings.Cut(server.URL, "://"); address != pushservice.DefaultAddr {
		flag = " --push-service " + server.URL
	}
	s.note("a browser with a new profile: webpush browser %s%s http://localhost:…", name, flag)
}
