package cmd

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// delivery holds everything derived from the flags of send.
type delivery struct {
	client    *webpush.Client
	sub       *webpush.Subscription // nil for a check without one, and for many
	source    *bulk.Reader          // many subscriptions
	message   webpush.Message
	transport webpush.TransportOptions
	flaws     []flaw
}

// flaw is an error in the content of an input. send stops at the first one; check
// prints them all.
type flaw struct {
	err     error
	finding *preflight.Finding // nil if the rules for messages also find it
}

// firstFlaw returns the error of the first flaw, or nil.
func (d *delivery) firstFlaw() error {
	if len(d.flaws) == 0 {
		return nil
	}
	return d.flaws[0].err
}

// found returns the findings of the flaws.
func (d *delivery) found() []preflight.Finding {
	var found []preflight.Finding
	for _, f := range d.flaws {
		if f.finding != nil {
			found = append(found, *f.finding)
		}
	}
	return found
}

// flawed adds an error as a flaw that the rules for messages also find.
func (d *delivery) flawed(err error) {
	if err != nil {
		d.flaws = append(d.flaws, flaw{err: err})
	}
}

// prepare reads everything that the flags name; nothing else is read later. The error
// is about the command line or a file that cannot be read; errors in the content of a
// file are among the flaws. If the subscription is optional, it may be missing.
func (o *sendOptions) prepare(s *streams, optional bool) (*delivery, error) {
	d := new(delivery)
	if o.subscription == "" && o.inputs == nil && !optional && o.parts == (subscriptionParts{}) {
		return nil, usage("pass one with -f subscription.json; to get one from your own browser: webpush subscribe", "%s needs a subscription", o.cmd.Name())
	}
	for _, pair := range [][2]string{{"curl", "dry-run"}, {"inline", "body-file"}, {"topic", "topic-hash"}} {
		if err := exclusive(o.cmd, pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	if err := o.fillMessage(s, d); err != nil {
		return nil, err
	}
	var err error
	if d.client, d.transport, err = o.connection.client(o.cmd, s); err != nil {
		return nil, err
	}
	d.client.Scheme, d.client.Lenient = vapid.Scheme(o.claims.scheme.String()), o.claims.noStrict
	var alone []byte
	if o.inputs != nil {
		if alone, err = o.openInputs(s, d); err != nil {
			return nil, err
		}
	}
	if o.subscription != "" {
		d.sub, err = loadSubscription(s, o.subscription)
		if err = d.excuse("subscription", "Push API, PushSubscription.toJSON", err); err != nil {
			return nil, err
		}
	}
	if o.parts != (subscriptionParts{}) {
		if o.subscription != "" || o.inputs != nil {
			return nil, usage("pass one of them", "-f and --endpoint cannot be combined: both name the subscription")
		}
		d.sub, err = o.parts.subscription(s)
		if err = d.excuse("subscription", "Push API, PushSubscription.toJSON", err); err != nil {
			return nil, err
		}
	}
	if err := o.sign(s, d); err != nil {
		return nil, err
	}
	if alone != nil {
		return d, o.applyRecord(s, d, alone)
	}
	return d, nil
}

// openInputs opens the inputs of -f. It returns the text of a single subscription,
// or nil if there are many.
func (o *sendOptions) openInputs(s *streams, d *delivery) (alone []byte, err error) {
	b := &o.bulk
	if b.force && !o.curl && b.results == "" && b.gone == "" && b.retryLater == "" {
		return nil, usage("add the file to overwrite", "--force requires --results, --gone, or --retry-later")
	}
	source, err := o.openReader(s)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(bulkOnly, o.cmd.Flags().Changed) {
		if alone, err = source.Alone(); err != nil {
			return nil, wrongFile(err)
		}
	}
	if alone == nil {
		d.source = source
		return nil, nil
	}
	d.sub, err = webpush.ParseSubscription(alone)
	return alone, d.excuse("subscription", "Push API, PushSubscription.toJSON", within(inputName(o.inputs[0]), err))
}

// openReader opens the inputs of -f.
func (o *sendOptions) openReader(s *streams) (*bulk.Reader, error) {
	sources, err := inputs(s, o.inputs)
	if err != nil {
		return nil, err
	}
	columns, err := o.bulk.columns.read()
	if err != nil {
		return nil, err
	}
	reader, err := bulk.Open(sources...)
	var e *bulk.Error
	switch {
	case errors.As(err, &e) && e.Err != nil:
		if _, worded := loadSubscription(s, e.Path); worded != nil { // the same error in the words for one
			return nil, worded
		}
		return nil, wrongFile(err)
	case err != nil:
		return nil, wrongFile(err)
	}
	if columns != nil {
		reader.SetColumns(*columns)
	}
	return reader, nil
}

// applyRecord applies the other fields of a record to a single message.
func (o *sendOptions) applyRecord(s *streams, d *delivery, text []byte) error {
	record := bulk.NewRecord(inputName(o.inputs[0]), text)
	job, err := record.Job(d.message, &bulk.Keys{Own: d.client.Ring()})
	if err != nil && d.sub != nil { // otherwise it is reported already
		return within(record.File, err)
	}
	s.warnFields(record.Misplaced, nil)
	if err := bulk.CheckEmpty(job); err != nil && !o.empty {
		return within(record.File, withHint(err, "pass a payload with -p, or use --empty to send an empty push"))
	}
	d.message = job.Message
	return nil
}

// excuse turns an error about the content of a file into a flaw. It returns other
// errors.
func (d *delivery) excuse(rule, source string, err error) error {
	var key *vapid.Error
	var input *webpush.InputError
	if !errors.As(err, &key) && !errors.As(err, &input) {
		return err
	}
	d.flaws = append(d.flaws, flaw{err, &preflight.Finding{Severity: preflight.SeverityError, Rule: rule, Message: err.Error(), Source: source, Hint: hintOf(err), Err: err}})
	return nil
}

// anyOrigin stands for the origins of many subscriptions where claims are
// checked.
const anyOrigin = "https://push.example.net"

// sign sets the key and the claims of the client.
func (o *sendOptions) sign(s *streams, d *delivery) error {
	client := d.client
	if o.gcmKey != "" {
		return nil
	}
	if !given(o.cmd, "private-key") && !exists(defaultPrivateKey) {
		for _, name := range []string{"claims", "subject", "audience", "expires-in"} {
			if o.cmd.Flags().Changed(name) {
				d.flawed(withHint(fmt.Errorf("--%s requires a private key to sign with: %s not found", name, defaultPrivateKey),
					"generate a key pair with webpush gen, or pass one with -k"))
			}
		}
		return nil // reported by the findings
	}
	ring, err := o.key.loadRing(s)
	if err = d.excuse("vapid-key", "RFC 8292 section 3.2", err); err != nil {
		return err
	}
	if client.Key = ring.Current(); client.Key != nil {
		client.OldKeys = ring[1:]
	}
	claims, err := o.claims.load(s, o.claimsFile)
	if err = d.excuse("claims", "RFC 8292 section 2", err); err != nil {
		return err
	}
	origin := ""
	switch {
	case d.source != nil, o.many:
		origin = anyOrigin
	case d.sub != nil:
		origin = d.sub.Origin()
	}
	client.Claims, client.Audience, client.Lifetime = claims, o.claims.audience, o.claims.expiresIn.value
	signer := o.claims.signer(client.Key, claims)
	d.flawed(refused(signer, signer.Filled(origin))) // the rest is among the findings
	return nil
}

func (o *sendOptions) fillMessage(s *streams, d *delivery) error {
	m := &d.message
	if err := o.payload.fill(m); err != nil {
		return err
	}
	if o.ttl.value < 0 || o.ttl.value > webpush.MaxTTL {
		d.flawed(usage("use 0 to deliver now or never", "--ttl is %s, expected 0 to 2147483648 seconds", o.ttl.String()))
	}
	m.TTL = new(o.ttl.value)
	m.Urgency = webpush.Urgency(o.urgency.String())
	m.Topic = o.topic
	if o.cmd.Flags().Changed("topic") {
		err := wrongFlag("topic", webpush.CheckTopic(o.topic))
		if o.topic == "" {
			return err // an empty Topic in the message means none
		}
		d.flawed(err)
	}
	if o.topicHash != "" {
		m.Topic = webpush.HashTopic(o.topicHash)
	}
	m.Header = make(http.Header)
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return usage("use the form --header 'Name: value'", "--header: %q has no colon", h)
		}
		name, value = strings.TrimSpace(name), strings.Trim(value, " \t")
		d.flawed(wrongFlag("header", webpush.CheckHeader(name, value)))
		m.Header.Add(name, value)
	}
	if o.wnsType != "" {
		if err := webpush.CheckHeader("X-WNS-Type", o.wnsType); err != nil {
			return wrongFlag("wns-type", err)
		}
		m.Header.Set("X-WNS-Type", o.wnsType)
	}
	if o.gcmRegID != "" && o.gcmKey == "" {
		return usage("", "--gcm-reg-id requires --gcm-key")
	}
	if o.gcmKey != "" {
		key, err := o.readGCMKey(s)
		if err != nil {
			return err
		}
		m.GCM = &webpush.GCM{Key: key, RegistrationID: o.gcmRegID}
	}
	payload, err := o.payload.load(s)
	m.Payload = payload
	return err
}

// readGCMKey reads the key from a file or the environment. It also accepts a
// literal key, as pywebpush does.
func (o *sendOptions) readGCMKey(s *streams) (string, error) {
	key, named, err := envSecret("gcm-key", o.gcmKey, "the key")
	switch {
	case err != nil:
		return "", err
	case named:
	case exists(key):
		b, err := s.file(key)
		if err != nil {
			return "", err
		}
		key = string(b)
	case source(o.cmd, "gcm-key") == "--gcm-key":
		s.warn("the GCM key is on the command line, where other users of this machine can see it", "pass a file, or --gcm-key env:NAME")
	}
	return strings.TrimSpace(key), nil
}
