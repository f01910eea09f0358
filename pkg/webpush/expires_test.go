package webpush

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A job that expires is sent with the TTL that is left at each attempt, and is
// not sent when nothing is left; TTL 0 stays 0.
func TestSendAllExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ttls []string
		client := &Client{Key: testKey(t), Attempts: 3, MaxWait: time.Minute}
		client.Claims.Subject = "mailto:a@example.com"
		client.HTTP = doerFunc(func(r *http.Request) (*http.Response, error) {
			ttls = append(ttls, r.Header.Get("TTL"))
			if len(ttls) == 1 {
				return respond(429, "", "Retry-After", "10"), nil
			}
			return respond(201, "", "TTL", r.Header.Get("TTL")), nil
		})
		job := func(ttl, left time.Duration) Job {
			return Job{Subscription: testSubscription(t, "https://push.example.net/x", testIdentity(t)), Message: Message{TTL: &ttl}, Expires: time.Now().Add(left)}
		}
		for _, c := range []struct {
			name  string
			job   func() Job
			err   error
			class Class
			ttls  []string
		}{
			{"shrinks at each attempt", func() Job { return job(time.Minute, 30*time.Second) }, nil, ClassDelivered, []string{"30", "20"}},
			{"used up during a hold", func() Job { return job(time.Minute, 9*time.Second) }, nil, ClassExpired, []string{"9"}},
			{"used up before", func() Job { return job(time.Minute, 0) }, nil, ClassExpired, nil},
			{"not more than asked for", func() Job { return job(time.Minute, time.Hour) }, nil, ClassDelivered, []string{"60", "60"}},
			{"now or never", func() Job { return job(0, -time.Hour) }, nil, ClassDelivered, []string{"0", "0"}},
			{"of the source", func() Job { return Job{} }, fmt.Errorf("record 1: %w", ErrExpired), ClassExpired, nil},
		} {
			ttls = nil
			source := iter.Seq2[Job, error](func(yield func(Job, error) bool) { yield(c.job(), c.err) })
			for r := range client.SendAll(t.Context(), source, BulkOptions{}) {
				if r.Class != c.class || !slices.Equal(ttls, c.ttls) {
					t.Errorf("%s: %v (%v) with TTLs %q, expected %v with %q", c.name, r.Class, r.Err, ttls, c.class, c.ttls)
				}
				if r.Receipt != nil && r.Receipt.Note != "" {
					t.Errorf("%s: the service kept the TTL, but the note is %q", c.name, r.Receipt.Note)
				}
				if c.class == ClassExpired && (!errors.Is(r.Err, ErrExpired) || !Final(r.Err) || Classify(r.Err) != ClassExpired) {
					t.Errorf("%s: %v is not final", c.name, r.Err)
				}
			}
		}
	})
}
