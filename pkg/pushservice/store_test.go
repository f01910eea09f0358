package pushservice_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushservice.New(pushservice.Options{MaxTTL: time.Hour})
		sub := subscribe(t, s, vapid.PublicKey{})
		short := send(t, s, sub.Path, "TTL", "10")
		long := send(t, s, sub.Path, "TTL", "99999")
		time.Sleep(10*time.Second - time.Millisecond)
		if got, want := ids(receive(t, s, sub.ID, 0)), short+" "+long; got != want {
			t.Errorf("before: %q, want %q", got, want)
		}
		time.Sleep(time.Millisecond)
		if got := ids(receive(t, s, sub.ID, 0)); got != long {
			t.Errorf("after 10 s: %q, want %q", got, long)
		}
		time.Sleep(time.Hour)
		var e *pushservice.Error
		if err := s.Ack(long); !errors.As(err, &e) || e.Status != 404 {
			t.Errorf("canceling an expired message: %v", err)
		}
		if n := s.Subscriptions()[0].Messages; n != 0 {
			t.Errorf("%d messages after their TTL", n)
		}
	})
}

func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		sub := subscribe(t, s, vapid.PublicKey{})
		poll := func(wait time.Duration) (<-chan []pushservice.AcceptedMessage, time.Time) {
			c := make(chan []pushservice.AcceptedMessage, 1)
			go func() { c <- receive(t, s, sub.ID, wait) }()
			synctest.Wait()
			return c, time.Now()
		}
		nobody := func() {
			t.Helper()
			if n := s.Subscriptions()[0].Waiting; n != 0 {
				t.Errorf("%d are waiting", n)
			}
		}

		c, start := poll(time.Minute)
		if list := <-c; len(list) != 0 || time.Since(start) != time.Minute {
			t.Errorf("%d messages after %v", len(list), time.Since(start))
		}
		nobody()

		// A message wakes all waiting calls.
		one, start := poll(time.Minute)
		two, _ := poll(time.Minute)
		if n := s.Subscriptions()[0].Waiting; n != 2 {
			t.Errorf("%d are waiting, want 2", n)
		}
		time.Sleep(5 * time.Second)
		id := send(t, s, sub.Path)
		if a, b := ids(<-one), ids(<-two); a != id || b != id || time.Since(start) != 5*time.Second {
			t.Errorf("%q and %q after %v, want %q", a, b, time.Since(start), id)
		}
		nobody()

		// The message stays until it is acknowledged.
		c, start = poll(time.Minute)
		if got := ids(<-c); got != id || time.Since(start) != 0 {
			t.Errorf("again: %q after %v, want %q", got, time.Since(start), id)
		}
		// Calls for later messages do not return it.
		list, err := s.Messages(t.Context(), sub.ID, 1, time.Second)
		if len(list) != 0 || err != nil {
			t.Errorf("after the last: %v, %v", list, err)
		}
		call(t, s, "DELETE", "/m/"+id, "", 204)
		call(t, s, "DELETE", "/m/"+id, "", 404)

		// A message with a TTL of 0 reaches only the waiting calls.
		gone := send(t, s, sub.Path, "TTL", "0")
		if list := receive(t, s, sub.ID, 0); len(list) != 0 {
			t.Errorf("a message of TTL 0 was kept")
		}
		call(t, s, "DELETE", "/m/"+gone, "", 404)
		c, _ = poll(time.Minute)
		id = send(t, s, sub.Path, "TTL", "0")
		if got := ids(<-c); got != id {
			t.Errorf("TTL 0 while waiting: %q, want %q", got, id)
		}
		if list := receive(t, s, sub.ID, 0); len(list) != 0 {
			t.Errorf("it was kept")
		}

		// The expiry of the subscription and a canceled context wake them, too.
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() {
			_, err := s.Messages(ctx, sub.ID, 0, time.Minute)
			errs <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-errs; err != context.Canceled {
			t.Errorf("canceled: %v", err)
		}
		nobody()
		go func() {
			_, err := s.Messages(t.Context(), sub.ID, 0, time.Minute)
			errs <- err
		}()
		synctest.Wait()
		call(t, s, "DELETE", "/api/subscriptions/"+sub.ID, "", 204)
		var e *pushservice.Error
		if err := <-errs; !errors.As(err, &e) || e.Status != 410 || e.Errno != 106 {
			t.Errorf("expired: %v", err)
		}
	})
}

func TestExpiredSubscription(t *testing.T) {
	s := pushservice.New(pushservice.Options{MaxSubscriptions: 1})
	sub := subscribe(t, s, vapid.PublicKey{})
	id := send(t, s, sub.Path)
	if err := s.Unsubscribe(sub.ID); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*http.Request{
		request(sub.Path, nil),
		newRequest("GET", "/api/subscriptions/"+sub.ID+"/messages", nil),
		newRequest("DELETE", "/api/subscriptions/"+sub.ID, nil),
	} {
		w := do(s, r)
		wantError(t, w, 410, 106, "No such subscription: it has expired")
		if got := w.Header().Get("Cache-Control"); got != "max-age=86400" {
			t.Errorf("Cache-Control is %q", got)
		}
	}
	call(t, s, "DELETE", "/m/"+id, "", 404)

	// Expired subscriptions are forgotten eventually.
	if err := s.Unsubscribe(subscribe(t, s, vapid.PublicKey{}).ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, do(s, request(sub.Path, nil)), 404, 102, "Invalid token: no subscription has this endpoint")
}

func TestTopic(t *testing.T) {
	s := pushservice.New(pushservice.Options{MaxMessages: 4})
	sub, other := subscribe(t, s, vapid.PublicKey{}), subscribe(t, s, vapid.PublicKey{})
	elsewhere := send(t, s, other.Path, "Topic", "news")
	first := send(t, s, sub.Path, "Topic", "news")
	plain := send(t, s, sub.Path)
	upper := send(t, s, sub.Path, "Topic", "News")
	// The limit is reached: replacing does not exceed it.
	second := send(t, s, sub.Path, "Topic", "news", "Urgency", "high")
	if got, want := ids(receive(t, s, sub.ID, 0)), strings.Join([]string{plain, upper, second}, " "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ids(receive(t, s, other.ID, 0)); got != elsewhere {
		t.Errorf("the other subscription has %q, want %q", got, elsewhere)
	}
	call(t, s, "DELETE", "/m/"+first, "", 404)
	// A message that is not kept replaces an earlier one anyway.
	send(t, s, sub.Path, "Topic", "news", "TTL", "0")
	if got, want := ids(receive(t, s, sub.ID, 0)), plain+" "+upper; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushservice.New(pushservice.Options{MaxSubscriptions: 2, MaxMessages: 2, MaxBody: 103, MaxRequests: 3})
		a, b := subscribe(t, s, vapid.PublicKey{}), subscribe(t, s, vapid.PublicKey{})
		w := do(s, newRequest("POST", "/api/subscriptions", nil))
		wantError(t, w, 429, 0, "Too many subscriptions: there are 2, the maximum")
		if got := w.Header().Get("Retry-After"); got != "60" {
			t.Errorf("Retry-After is %q", got)
		}
		send(t, s, a.Path, "TTL", "10")
		send(t, s, a.Path, "TTL", "20")
		wantError(t, do(s, request(b.Path, nil)), 429, 0, "Too many messages: 2 are waiting to be received, the maximum")
		send(t, s, b.Path, "TTL", "0")
		time.Sleep(10 * time.Second)
		send(t, s, b.Path, "TTL", "60")
		wantError(t, do(s, request(b.Path, make([]byte, 104))), 413, 104, "Body too large: it has 104 bytes, expected at most 103")
		if list := s.Requests(); len(list) != 3 || list[0].Status != 201 || list[2].Status != 413 || list[2].BodyLength != 103 {
			t.Errorf("requests are %+v", list)
		}
	})
}

// TestConcurrent is useful only with the race detector.
func TestConcurrent(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testConcurrent(t, pushservice.New(pushservice.Options{})) })
	t.Run("data", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, pushservice.Options{})
		testConcurrent(t, s)
		closeService(t, s)
		s = open(t, dir, pushservice.Options{})
		if list := s.Subscriptions(); len(list) != 1 || list[0].Messages != 0 {
			t.Errorf("subscriptions are %+v", list)
		}
	})
}

func testConcurrent(t *testing.T, s *pushservice.Service) {
	sub := subscribe(t, s, vapid.PublicKey{})
	const senders, each = 8, 20
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				r := request(sub.Path, nil)
				if j%4 == 0 {
					r.Header.Set("Topic", fmt.Sprint("t", i))
				}
				if w := do(s, r); w.Code != 201 {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
				s.Subscriptions()
				s.Requests()
			}
		})
	}
	done := make(chan int)
	go func() {
		var after uint64
		n := 0
		for after < senders*each {
			list, err := s.Messages(context.Background(), sub.ID, after, 10*time.Second)
			if err != nil || len(list) == 0 {
				t.Errorf("%d messages, %v", len(list), err)
				break
			}
			for _, m := range list {
				if m.Seq <= after {
					t.Errorf("%d after %d", m.Seq, after)
				}
				after = m.Seq
				n++
				_ = s.Ack(m.ID) // another may have replaced it
			}
		}
		done <- n
	}()
	wg.Wait()
	if n := <-done; n < senders*each*3/4 {
		t.Errorf("%d messages received", n)
	}
}
