package appserver_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func TestNewJob(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 6_789_000, time.UTC)
	at := now.Truncate(time.Millisecond)
	for _, c := range []struct {
		due   time.Time
		state appserver.State
		kept  time.Time
	}{
		{time.Time{}, appserver.Queued, time.Time{}},
		{now.Add(-time.Hour), appserver.Queued, time.Time{}},
		{at, appserver.Queued, time.Time{}},
		{at.Add(999 * time.Microsecond), appserver.Queued, time.Time{}},
		{at.Add(time.Millisecond), appserver.Scheduled, at.Add(time.Millisecond)},
		{at.Add(time.Hour).In(time.FixedZone("", 3600)), appserver.Scheduled, at.Add(time.Hour)},
	} {
		got := appserver.NewJob(appserver.Job{ID: "j", Due: c.due, Once: appserver.Once{Key: "k"}}, now)
		want := appserver.Job{ID: "j", State: c.state, Due: c.kept, Created: at, Counts: appserver.Counts{}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("due at %v: %+v, want %+v", c.due, got, want)
		}
	}
}

func TestOutcomeEffect(t *testing.T) {
	gone := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		o    appserver.Outcome
		want appserver.Effect
	}{
		"delivered":                     {appserver.Outcome{Class: webpush.ClassDelivered, Status: 201}, appserver.Effect{Status: true}},
		"delivered again":               {appserver.Outcome{Record: appserver.Record{LastStatus: 201}, Class: webpush.ClassDelivered, Status: 201}, appserver.Effect{}},
		"delivered after gone":          {appserver.Outcome{Record: appserver.Record{LastStatus: 201, GoneSince: gone}, Class: webpush.ClassDelivered, Status: 201}, appserver.Effect{Back: true}},
		"delivered with another key":    {appserver.Outcome{Record: appserver.Record{LastStatus: 201, Key: "old"}, Class: webpush.ClassDelivered, Status: 201, Key: "new"}, appserver.Effect{Key: true}},
		"gone":                          {appserver.Outcome{Class: webpush.ClassGone, Status: 410}, appserver.Effect{Gone: true}},
		"gone again":                    {appserver.Outcome{Record: appserver.Record{LastStatus: 410, GoneSince: gone}, Class: webpush.ClassGone, Status: 410, GoneAfter: time.Hour}, appserver.Effect{Gone: true}},
		"rejected":                      {appserver.Outcome{Class: webpush.ClassRejected, Status: 400}, appserver.Effect{Status: true, Failure: true}},
		"rejected after gone":           {appserver.Outcome{Record: appserver.Record{LastStatus: 410, GoneSince: gone}, Class: webpush.ClassRejected, Status: 400}, appserver.Effect{Status: true, Failure: true}},
		"temporary":                     {appserver.Outcome{Record: appserver.Record{LastStatus: 503}, Class: webpush.ClassTemporary, Status: 503}, appserver.Effect{Failure: true}},
		"no response":                   {appserver.Outcome{Record: appserver.Record{LastStatus: 201}, Class: webpush.ClassTemporary}, appserver.Effect{Status: true, Failure: true}},
		"expired before it was sent":    {appserver.Outcome{Record: appserver.Record{LastStatus: 201}, Class: webpush.ClassExpired}, appserver.Effect{Failure: true}},
		"expired, and gone some before": {appserver.Outcome{Record: appserver.Record{LastStatus: 410, GoneSince: gone}, Class: webpush.ClassExpired, Status: 429}, appserver.Effect{Failure: true}},
	} {
		if got := c.o.Effect(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestStates(t *testing.T) {
	finished := appserver.ErrFinished
	for _, c := range []struct {
		state                            appserver.State
		cancel, withdraw, fail, failKept error
		retry                            error
	}{
		{appserver.Scheduled, nil, nil, nil, nil, finished},
		{appserver.Queued, nil, nil, nil, nil, finished},
		{appserver.Running, nil, nil, nil, nil, finished},
		{appserver.Done, finished, nil, finished, finished, nil},
		{appserver.Failed, finished, nil, finished, finished, nil},
		{appserver.Canceled, finished, finished, finished, finished, finished},
	} {
		for name, e := range map[string][2]error{
			"canceled": {c.state.Set(appserver.Canceled, false), c.cancel}, "canceled with messages to withdraw": {c.state.Set(appserver.Canceled, true), c.withdraw},
			"failed": {c.state.Set(appserver.Failed, false), c.fail}, "failed with messages to withdraw": {c.state.Set(appserver.Failed, true), c.failKept},
			"retried": {c.state.Retry(), c.retry},
		} {
			if e[0] != e[1] {
				t.Errorf("a job that is %s is %s: %v, want %v", c.state, name, e[0], e[1])
			}
		}
		for _, to := range []appserver.State{appserver.Scheduled, appserver.Queued, appserver.Running, appserver.Done} {
			if err := c.state.Set(to, true); err == nil || errors.Is(err, finished) {
				t.Errorf("a job that is %s is set to %s: %v", c.state, to, err)
			}
		}
	}
}

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		progress appserver.Progress
		number   int64
		err      error
	}{
		{appserver.Progress{}, 0, appserver.ErrFinished},
		{appserver.Progress{MaxSeq: 1}, 1, nil},
		{appserver.Progress{Cut: 5, MaxSeq: 6, Parts: 3, Left: true, Again: true}, 4, nil},
		{appserver.Progress{Cut: 6, MaxSeq: 6, Parts: 3, Left: true}, 0, appserver.ErrNoPart},
		{appserver.Progress{Cut: 6, MaxSeq: 6, Parts: 3, Left: true, Again: true}, 0, appserver.ErrNoPart},
		{appserver.Progress{Cut: 6, MaxSeq: 6, Parts: 3, Again: true}, 0, nil},
		{appserver.Progress{Cut: 6, MaxSeq: 6, Parts: 3}, 0, appserver.ErrFinished},
	} {
		number, err := c.progress.Next()
		if number != c.number || err != c.err || c.progress.Done() != (err == appserver.ErrFinished) {
			t.Errorf("%+v: part %d, %v, done %v; want part %d, %v", c.progress, number, err, c.progress.Done(), c.number, c.err)
		}
	}
}

func TestAdmit(t *testing.T) {
	p := appserver.Part{Lease: 3}
	for _, c := range []struct {
		lease, step int64
		batch       appserver.Batch
		record      bool
		frees       bool
		err         error
	}{
		{3, 0, appserver.Batch{Step: 1}, true, false, nil},
		{3, 0, appserver.Batch{}, false, false, nil},
		{3, 1, appserver.Batch{Step: 1, Done: true}, false, true, nil},
		{3, 1, appserver.Batch{Step: 2, Done: true}, true, true, nil},
		{3, 1, appserver.Batch{Release: true}, false, true, nil},
		{4, 0, appserver.Batch{Step: 1}, false, false, appserver.ErrLost},
		{4, 0, appserver.Batch{Release: true}, false, true, appserver.ErrLost},
	} {
		if record, err := p.Admit(c.batch, appserver.StoredPart{Lease: c.lease, Step: c.step}); record != c.record || err != c.err || c.batch.Frees() != c.frees {
			t.Errorf("lease %d, step %d, %+v: record %v, frees %v, %v", c.lease, c.step, c.batch, record, c.batch.Frees(), err)
		}
	}
}

func TestInherit(t *testing.T) {
	other := appserver.Record{Endpoint: "o", User: "u", Tags: []string{"t"}}
	for _, c := range []struct{ r, want appserver.Record }{
		{appserver.Record{Endpoint: "r"}, appserver.Record{Endpoint: "r", User: "u", Tags: []string{"t"}}},
		{appserver.Record{User: "v", Tags: []string{}}, appserver.Record{User: "v", Tags: []string{}}},
		{appserver.Record{Tags: []string{"x"}}, appserver.Record{User: "u", Tags: []string{"x"}}},
	} {
		if got := c.r.Inherit(other); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %+v, want %+v", c.r, got, c.want)
		}
	}
}

func TestCountsScan(t *testing.T) {
	want := appserver.Counts{"mozilla": {"delivered": 2, "gone": 1}, "fcm": {"delivered": 3}}
	const text = `[{"service":"mozilla","class":"delivered","n":2},{"service":"fcm","class":"delivered","n":3},{"service":"mozilla","class":"gone","n":1}]`
	for _, src := range []any{text, []byte(text)} {
		var c appserver.Counts
		if err := c.Scan(src); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%T: %v, %v", src, c, err)
		}
	}
	var c appserver.Counts
	if err := c.Scan("[]"); err != nil || c == nil || len(c) != 0 {
		t.Errorf("no counts: %v, %v", c, err)
	}
	for _, src := range []any{nil, 1, "x"} {
		if err := c.Scan(src); err == nil {
			t.Errorf("%v was read", src)
		}
	}
}

func TestEarlier(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct {
		id, request string
		err         error
		want        string
		wantErr     error
	}{
		{"", "", appserver.ErrNotFound, "", nil},
		{"j", "r", nil, "j", nil},
		{"j", "other", nil, "", appserver.ErrOtherRequest},
		{"", "", failed, "", failed},
	} {
		if id, err := (appserver.Once{Key: "k", Request: "r"}).Earlier(c.id, c.request, c.err); id != c.want || err != c.wantErr {
			t.Errorf("%+v: %q, %v", c, id, err)
		}
	}
}

func TestOnly(t *testing.T) {
	failed := errors.New("failed")
	if v, err := appserver.Only([]int{7}, nil); v != 7 || err != nil {
		t.Error(v, err)
	}
	if v, err := appserver.Only([]int{}, nil); v != 0 || err != appserver.ErrNotFound {
		t.Error(v, err)
	}
	if v, err := appserver.Only([]int{7}, failed); v != 0 || err != failed {
		t.Error(v, err)
	}
}
