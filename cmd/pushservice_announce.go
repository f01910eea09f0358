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

// faultProblem words the error of a fault that the push service refuses.
func faultProblem(err error) error {
	text := strings.TrimPrefix(err.Error(), "Invalid fault: ")
	return usage("write it as status=503,share=10%,retry-after=5", "--fault: %s", text)
}

// warnReadable warns if other users can read a private key.
func (s *streams) warnReadable(name string) {
	if info, err := os.Stat(name); err == nil && groupReadable(info) {
		s.warn(fmt.Sprintf("%s can be read by other users of this machine", name), "chmod 600 "+shellWord(name))
	}
}

// chromiumSettings are the flags and environment variables with which senders
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

// sendFlags are the flags of webpush send.
func (v *chromiumSettings) sendFlags() string {
	var b strings.Builder
	for _, c := range v.ConnectTo {
		b.WriteString("--connect-to " + shellWord(c) + " ")
	}
	return b.String() + "--ca-file " + shellWord(v.CAFile)
}

// note prints what senders need.
func (v *chromiumSettings) note(s *streams) {
	s.note("a user agent of this kind in a terminal: webpush listen --server chromium://%s --ca-file %s", v.Address, shellWord(v.CAFile))
	s.note("sending to Chromium: webpush send %s", v.sendFlags())
	s.note("  and for other senders: HTTPS_PROXY=%s", v.Proxy)
	s.note("  with NODE_EXTRA_CA_CERTS=%s (Node.js) or REQUESTS_CA_BUNDLE=%s (Python)", shellWord(v.CAFile), shellWord(v.CAFile))
	s.note("  never install %s in a system or a browser: its key can sign for hosts of Google", v.CAFile)
}

// noteBrowser prints how a browser is started that uses the push service.
func (o *pushServiceOptions) noteBrowser(s *streams, server *pushservice.Server) {
	name, flag := "firefox", ""
	if server.Chromium != nil {
		name = "chromium"
	}
	if _, address, _ := strings.Cut(server.URL, "://"); address != defaultPushService {
		flag = " --push-service " + server.URL
	}
	s.note("a browser with a throwaway profile: webpush browser %s%s http://localhost:…", name, flag)
}

// announce says where the push service is and how it is used.
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
		s.note("listening at %s, until it is interrupted", server.URL)
		if o.data != "" {
			subscriptions, messages := server.Service.Subscriptions(), 0
			for _, sub := range subscriptions {
				messages += sub.Messages
			}
			s.note("it keeps its data in %s, which has %s and %s", o.data, plural(len(subscriptions), "subscription"), plural(messages, "message"))
		}
		s.note("a user agent in a terminal: webpush listen --server %s", socket)
		s.note("Firefox, in about:config: dom.push.serverURL = %s/", socket)
		if o.caOut == "" {
			s.note("  and dom.push.testing.allowInsecureServerURL = true")
		} else {
			s.note("  and, in its settings, %s among the certificates' authorities", o.caOut)
			s.note("trust it for sending with: webpush send --ca-file %s", shellWord(o.caOut))
		}
		o.noteBrowser(s, server)
		if chromium != nil {
			chromium.note(s)
		}
	}
	host, port, _ := net.SplitHostPort(o.listen)
	if o.data != "" && o.origin == "" && port == "0" {
		s.warn("endpoints of earlier runs have another port, and are of no use now", "give it a port that stays, such as --listen 127.0.0.1:8090")
	}
	if !loopback(host) {
		s.warn("anyone who can reach "+o.listen+" can read and expire every subscription", "listen on 127.0.0.1 unless others have to reach it")
		if len(o.hosts) == 0 && o.origin == "" {
			s.note("requests for other host names are refused; from containers, start it with --host host.docker.internal, or with the name that they use")
		}
	}
	return nil
}
