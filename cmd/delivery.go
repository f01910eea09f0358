package cmd

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// delivery holds everything derived from the flags of a command that sends.
type delivery struct {
	client  *webpush.Client
	sub     *webpush.Subscription // nil for a check without one, and for many
	source  *bulk.Reader          // many subscriptions
	message webpush.Message
	flaws   []flaw
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

// subscription sets the only subscription. An error in its content is a flaw.
func (d *delivery) subscription(sub *webpush.Subscription, err error) error {
	d.sub = sub
	return d.excuse("subscription", "Push API, PushSubscription.toJSON", err)
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

// prepare reads everything that the flags name; nothing else is read later. The error
// is about the command line or a file that cannot be read; errors in the content of a
// file are among the flaws. If the subscription is optional, it may be missing.
func (o *sendOptions) prepare(s *streams, optional bool) (d *delivery, err error) {
	d = new(delivery)
	parts := o.parts != (subscriptionParts{})
	switch {
	case o.inputs != nil && parts:
		return nil, usage("pass one of them", "-f and --endpoint cannot be combined: both name the subscription")
	case o.inputs == nil && !parts && !optional:
		return nil, usage("pass one with -f subscription.json; to get one from your own browser: webpush subscribe", "%s needs a subscription", o.cmd.Name())
	}
	for _, pair := range [][2]string{{"curl", "dry-run"}, {"inline", "body-file"}, {"topic", "topic-hash"}} {
		if err := exclusive(o.cmd, pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	if err := o.messageFlags.message(s, d); err != nil {
		return nil, err
	}
	if d.client, err = o.connection.client(o.cmd, s); err != nil {
		return nil, err
	}
	var alone []byte // the text of a single subscription
	switch {
	case parts:
		err = d.subscription(o.parts.subscription(s))
	case o.inputs != nil:
		alone, err = o.openInputs(s, d)
	}
	if err != nil {
		return nil, err
	}
	if d.message.GCM == nil {
		origin := ""
		switch {
		case d.source != nil:
			origin = anyOrigin
		case d.sub != nil:
			origin = d.sub.Origin()
		}
		if err := o.sign(s, d, origin); err != nil {
			return nil, err
		}
	}
	if alone != nil {
		return d, o.applyRecord(s, d, alone)
	}
	return d, nil
}

// openInputs opens the inputs of -f. It returns the text of a single subscription,
// or nil if there are many.
func (o *sendOptions) openInputs(s *streams, d *delivery) (alone []byte, err error) {
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
	sub, err := webpush.ParseSubscription(alone)
	return alone, d.subscription(sub, within(inputName(o.inputs[0]), err))
}

// openReader opens the inputs of -f.
func (o *sendOptions) openReader(s *streams) (*bulk.Reader, error) {
	sources, err := inputs(s, o.inputs)
	if err != nil {
		return nil, err
	}
	reader, err := bulk.Open(sources...)
	var e *bulk.Error
	switch {
	case errors.As(err, &e) && errors.Is(err, fs.ErrNotExist) && slices.Index(o.inputs, e.Path) > 0 && !strings.ContainsAny(e.Path, `./\`):
		return nil, withHint(wrongFile(err), "if it is the payload, use: -p "+shellWord(shown(e.Path)))
	case errors.As(err, &e) && e.Err != nil:
		if _, worded := loadSubscription(s, e.Path); worded != nil { // the same error in the words for one
			return nil, worded
		}
		return nil, wrongFile(err)
	case err != nil:
		return nil, wrongFile(err)
	}
	if o.bulk.columns != nil {
		reader.SetColumns(*o.bulk.columns)
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
	var ignored bulk.Ignored
	ignored.Add(record)
	s.warnIgnored(&ignored)
	if err := bulk.CheckEmpty(job); err != nil && !o.bulk.Empty {
		return within(record.File, withHint(err, "pass a payload with -p, or use --empty to send an empty push"))
	}
	d.message = job.Message
	return nil
}
