package cmd

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/fatih/color"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// printReceipt prints a receipt, with the key that signed if it is not the current
// one.
func printReceipt(s *streams, r *webpush.Receipt, client *webpush.Client) error {
	old := ""
	if key := client.ReplacedKey(r); !key.IsZero() {
		old = key.String()
	}
	if s.json {
		fields := make(map[string]any)
		if old != "" {
			fields["vapidKey"] = old
		}
		addFields(fields, r)
		return s.printJSON(fields)
	}
	service := r.Service.String()
	if r.Service == webpush.Other {
		service += " at " + r.Origin
	}
	fmt.Fprintf(s.out, "%s by %s: %d %s\n", s.paint(s.outTTY, "accepted", color.FgGreen), service, r.Status, http.StatusText(r.Status))
	s.lines("%s: %s\n", [2]string{"location", r.Location})
	if r.TTL != nil {
		meaning := "now or never"
		if *r.TTL > 0 {
			meaning = shortDuration(*r.TTL)
		}
		fmt.Fprintf(s.out, "ttl: %d (%s)\n", int64(r.TTL.Seconds()), meaning)
	}
	s.lines("%s: %s\n", [2]string{"receipts", r.ReceiptSubscription})
	if old != "" {
		fmt.Fprintf(s.out, "key: %s, which the current one has replaced\n", old)
	}
	if r.Note != "" {
		s.warn(r.Note, "")
	}
	return nil
}

func (o *sendOptions) tellDecisions(s *streams, client *webpush.Client, sub *webpush.Subscription, m webpush.Message) {
	s.note("subscription: %s, service %s", sub.Origin(), string(sub.Service()))
	if client.Key != nil {
		from := source(o.cmd, "private-key")
		if from == "default" {
			from = defaultPrivateKey
		}
		s.note("key: %s, from %s", client.Key.PublicKey(), from)
		var claims []string
		for _, line := range client.Signer().Filled(sub.Origin()).Text() {
			claims = append(claims, line[0]+" "+line[1])
		}
		s.note("claims: %s", strings.Join(claims, ", "))
	}
	if m.Payload == nil {
		s.note("payload: none")
	} else {
		s.note("payload: %s, %s", plural(len(m.Payload), "byte"), m.Encoding)
	}
	urgency := m.Urgency
	if urgency == "" {
		urgency = webpush.Normal
	}
	s.note("ttl %s, urgency %s, topic %s, timeout %s, %s at most", shortDuration(*m.TTL), urgency, orDash(m.Topic), shortDuration(client.Timeout), plural(client.Attempts, "attempt"))
}

// printRequest prints the request of --dry-run.
func (o *sendOptions) printRequest(s *streams, req *http.Request) error {
	shown, err := webpush.ShowRequest(req, o.showSecrets)
	switch {
	case err != nil:
		return err
	case s.json:
		return s.printJSON(shown)
	}
	fmt.Fprint(s.out, shown)
	if !o.showSecrets {
		s.hint("use --show-secrets to print the endpoint and the token")
	}
	return nil
}

// trace prints requests and responses, for -vv.
func (o *sendOptions) trace(s *streams, next webpush.Doer) webpush.Doer {
	return webpush.Trace(next, o.showSecrets, s.logNotes)
}
