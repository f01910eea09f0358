package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// rows recognizes subscriptions in the forms of databases, as they can be sent to:
// rows with other names, CSV, dumps in SQL. It returns nil if it finds none.
func (in inspector) rows(data []byte) *Thing {
	r, err := bulk.Open(bulk.Source{Name: "line", Stream: bytes.NewReader(data)})
	if err != nil {
		return nil
	}
	var alone []byte
	if in.columns != nil {
		r.SetColumns(*in.columns)
	} else if alone, err = r.Alone(); err != nil {
		return nil
	}
	if alone != nil {
		return in.onlyRecord(alone)
	}
	table := r.Table()
	var only *webpush.Subscription
	services := make(map[webpush.Service]int)
	n, bad, without, first := 0, 0, 0, ""
	var failed error
	for rec, err := range r.Records(context.Background()) {
		n++
		var job webpush.Job
		if err == nil {
			job, err = rec.Job(webpush.Message{}, new(bulk.Keys))
		}
		if err != nil {
			if bad++; bad == 1 {
				first, failed = fmt.Sprintf("%s: %v", position(rec), err), err
			}
			continue
		}
		if only = job.Subscription; only.Recipient() == nil {
			without++
		}
		services[job.Subscription.Service()]++
	}
	switch {
	case n == bad && !table && in.columns == nil:
		return nil
	case n == 1 && bad == 0:
		return in.row(only)
	}
	t := &Thing{Kind: KindSubscriptions, Title: text.Count(n-bad, "subscription") + " as rows of a database"}
	names := make([]webpush.Service, 0, len(services))
	for s := range services {
		names = append(names, s)
	}
	slices.Sort(names)
	for _, s := range names {
		t.add(string(s), services[s])
	}
	if n == 0 {
		t.warn("it has no records", "")
	}
	if without > 0 {
		t.warn(text.Count(without, "subscription")+" without keys", "they receive only messages without a payload")
	}
	switch {
	case n == 1 && bad == 1:
		t.failErr(failed)
	case bad > 0:
		t.fail(fmt.Sprintf("%d of %d are invalid or not recognized; the first is %s", bad, n, first), "")
	}
	return t
}

// onlyRecord shows the subscription of an input that has a single record, or returns nil.
func (in inspector) onlyRecord(text []byte) *Thing {
	sub, err := webpush.ParseSubscription(text)
	if err != nil {
		return nil
	}
	t := in.row(sub)
	var fields jsonObject
	if object, _ := notation.Unwrap(text); json.Unmarshal(object, &fields) == nil {
		in.addOverrides(t, fields)
	}
	return t
}

// position says where a record is, without a file's name.
func position(rec *bulk.Record) string {
	if rec.Element > 0 {
		return fmt.Sprintf("element %d", rec.Element)
	}
	return fmt.Sprintf("line %d", rec.Line)
}

// row shows one subscription that is written as a row.
func (in inspector) row(sub *webpush.Subscription) *Thing {
	b, err := json.Marshal(sub)
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil {
		return nil
	}
	t := in.subscription(fields, "")
	t.add("written as", "a row", "a row of a database, or within another object; webpush finds it there")
	return t
}

// record describes an object with the field subscription.
func (in inspector) record(s string, m jsonObject) *Thing {
	sub, err := webpush.ParseSubscription([]byte(s))
	if err != nil {
		t := &Thing{Kind: KindSubscription, Title: "push subscription in another object"}
		t.failErr(err)
		return t
	}
	object, _ := notation.Unwrap(m["subscription"])
	var inner jsonObject
	var t *Thing
	if json.Unmarshal(object, &inner) == nil && inner["endpoint"] != nil {
		t = in.subscription(inner, "subscription")
	} else {
		t = in.row(sub)
	}
	in.addOverrides(t, m)
	return t
}

// addOverrides reports the problems of the fields of a record that change its message.
func (in inspector) addOverrides(t *Thing, record jsonObject) {
	record = maps.Clone(record)
	if _, err := vapid.ParsePublicKey([]byte(str(record["vapidKey"]))); err == nil {
		delete(record, "vapidKey") // names a key of the sender
	}
	_, err := bulk.NewRecord("", mustMarshal(record)).Job(webpush.Message{}, new(bulk.Keys))
	t.failErr(err)
}
