package useragent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBackoff: the waits double, with jitter, up to 5 minutes, and begin anew
// after a connection that lasted.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAutopush(t, func(c *agentConn) { c.begin() })
		defer a.close()
		sub := a.subscribe()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		_, err := sub.Receive(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "before that: connecting at "+autopushURL+": status 503 Service Unavailable") {
			t.Errorf("error is %v", err)
		}
		longest := time.Second
		for i, e := range a.told() {
			if e.Retry < longest/2 || e.Retry > longest {
				t.Errorf("wait %d is %v, want between %v and %v", i, e.Retry, longest/2, longest)
			}
			longest = min(2*longest, 5*time.Minute)
		}
		if n := len(a.told()); n < 30 || n > 60 {
			t.Errorf("%d attempts in 2 hours", n)
		}
		before := len(a.told())
		a.scripts <- func(c *agentConn) {
			c.hello(uaid, uaid)
			time.Sleep(time.Minute)
		}
		time.Sleep(7 * time.Minute)
		told := a.told()[before:]
		for i, e := range told {
			if e.Err == nil && told[i+1].Retry > time.Second {
				t.Errorf("wait after a good connection is %v", told[i+1].Retry)
			}
		}
		closeSub(t, sub)
	})
}
