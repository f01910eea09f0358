package vapid_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func newTestKey(t *testing.T) *vapid.Key {
	t.Helper()
	k, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// slowSigner is a key in a service that takes its time, and fails at first.
type slowSigner struct {
	*ecdsa.PrivateKey
	takes    time.Duration
	failures atomic.Int32
	signed   atomic.Int32
}

var errBusy = errors.New("the key service is busy")

func (s *slowSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	time.Sleep(s.takes)
	if s.failures.Add(-1) >= 0 {
		return nil, errBusy
	}
	s.signed.Add(1)
	return s.PrivateKey.Sign(r, digest, o)
}

func newSlowSigner(t *testing.T, takes time.Duration) (*slowSigner, *vapid.Signer) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowSigner{PrivateKey: private, takes: takes}
	key, err := vapid.NewKey(slow)
	if err != nil {
		t.Fatal(err)
	}
	return slow, &vapid.Signer{Key: key, Subject: "mailto:ops@push.dev"}
}

// What a signer fills in, from the most to the least important.
func TestSignerFilled(t *testing.T) {
	const origin = "https://fcm.googleapis.com"
	for name, tt := range map[string]struct {
		signer   *vapid.Signer
		aud, sub string
	}{
		"the origin":            {&vapid.Signer{Subject: "ops@push.dev"}, origin, "mailto:ops@push.dev"},
		"another service's aud": {&vapid.Signer{Claims: vapid.Claims{Audience: "https://updates.push.services.mozilla.com", Subject: "mailto:a@push.dev"}}, origin, "mailto:a@push.dev"},
		"an aud for all":        {&vapid.Signer{Audience: "https://push.dev", Claims: vapid.Claims{Audience: "https://x.dev"}}, "https://push.dev", ""},
		"two subjects":          {&vapid.Signer{Subject: "https://push.dev", Claims: vapid.Claims{Subject: "mailto:a@push.dev"}}, origin, "https://push.dev"},
	} {
		c := tt.signer.Filled(origin)
		if left := time.Until(c.Expires); c.Audience != tt.aud || c.Subject != tt.sub || left < 11*time.Hour || left > 12*time.Hour {
			t.Errorf("%s: %+v", name, c)
		}
	}
	fixed := time.Now().Add(time.Hour)
	if c := (&vapid.Signer{Claims: vapid.Claims{Expires: fixed, Audience: origin}}).Filled(""); !c.Expires.Equal(fixed) || c.Audience != origin {
		t.Errorf("%+v", c)
	}
}

// Lenient signs what some services overlook, and never what all refuse.
func TestSignerRefused(t *testing.T) {
	key := newTestKey(t)
	for _, tt := range []struct {
		name            string
		claims          vapid.Claims
		strict, lenient bool // is signed
	}{
		{"good", vapid.Claims{Subject: "mailto:ops@push.dev"}, true, true},
		{"sub of another kind", vapid.Claims{Subject: "push.dev"}, false, true},
		{"past", vapid.Claims{Expires: time.Now().Add(-time.Hour)}, false, false},
		{"too far ahead", vapid.Claims{Expires: time.Now().Add(25 * time.Hour)}, false, false},
	} {
		for lenient, want := range map[bool]bool{false: tt.strict, true: tt.lenient} {
			s := &vapid.Signer{Key: key, Claims: tt.claims, Lenient: lenient}
			_, err := s.Sign("https://push.dev")
			var refused *vapid.ClaimsError
			if want != (err == nil) || err != nil && !errors.As(err, &refused) {
				t.Errorf("%s, lenient %t: %v", tt.name, lenient, err)
			}
			if _, _, headers := s.Headers(t.Context(), "https://push.dev"); (headers == nil) != want {
				t.Errorf("%s, lenient %t: Headers %v", tt.name, lenient, headers)
			}
		}
	}
}

// Many senders wait for one signature, a slow one for an origin delays no other,
// and a sender that gives up does not wait.
func TestSlowSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, signer := newSlowSigner(t, 100*time.Millisecond)
		start := time.Now()
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				if _, _, err := signer.Headers(t.Context(), fmt.Sprintf("https://h%d.push.dev", i%4)); err != nil {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, _, err := signer.Headers(ctx, "https://h0.push.dev"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		all.Wait()
		if took, n := time.Since(start), slow.signed.Load(); took != 100*time.Millisecond || n != 4 {
			t.Errorf("%d signatures in %v, expected 4 in 100ms", n, took)
		}
	})
}

// A failure is told to all that wait for it, and the next one tries again.
func TestSignerTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, signer := newSlowSigner(t, 10*time.Millisecond)
		slow.failures.Store(1)
		var failed atomic.Int32
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				var no *vapid.SignerError
				if _, _, err := signer.Headers(t.Context(), "https://push.dev"); errors.As(err, &no) && errors.Is(err, errBusy) {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		if failed.Load() != 5 {
			t.Errorf("%d failed, expected 5", failed.Load())
		}
		a, _, err := signer.Headers(t.Context(), "https://push.dev")
		if err != nil {
			t.Fatal(err)
		}
		if b, _, _ := signer.Headers(t.Context(), "https://push.dev"); b != a || slow.signed.Load() != 1 {
			t.Errorf("%d signatures", slow.signed.Load())
		}
	})
}

// Endpoints come from strangers, so that the number of origins has no limit.
func TestSignerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := &vapid.Signer{Key: newTestKey(t), Subject: "mailto:ops@push.dev", Lifetime: time.Minute}
		for i := range 4200 {
			if _, _, err := signer.Headers(t.Context(), fmt.Sprintf("https://h%d.push.dev", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := vapid.Kept(signer); n > 4096 {
			t.Errorf("%d tokens are kept", n)
		}
		time.Sleep(time.Minute)
		if _, _, err := signer.Headers(t.Context(), "https://push.dev"); err != nil {
			t.Fatal(err)
		}
		if n := vapid.Kept(signer); n > 1024 {
			t.Errorf("%d tokens are kept that have expired", n)
		}
	})
}

// No verb of fmt prints a token.
func TestSignerPrintsNoToken(t *testing.T) {
	signer := &vapid.Signer{Key: newTestKey(t), Subject: "mailto:ops@push.dev"}
	a, _, err := signer.Headers(t.Context(), "https://push.dev")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, signer); strings.Contains(text, a[10:40]) {
			t.Errorf("%s prints the token", format)
		}
	}
}

// panickingSigner is broken.
type panickingSigner struct{ *ecdsa.PrivateKey }

func (panickingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("out of order")
}

// What goes wrong in the goroutine that signs is an error of the callers.
func TestSignerOutOfOrder(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := vapid.NewKey(panickingSigner{private})
	if err != nil {
		t.Fatal(err)
	}
	var broken *vapid.SignerError
	if _, _, err := (&vapid.Signer{Key: key}).Headers(t.Context(), "https://push.dev"); !errors.As(err, &broken) || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("a signer that panics: %v", err)
	}
	var none *vapid.Error
	if _, _, err := new(vapid.Signer).Headers(t.Context(), "https://push.dev"); !errors.As(err, &none) {
		t.Errorf("no key: %v", err)
	}
}

// TestReplacedAudience: an aud that is replaced is no reason to refuse claims, however it was
// written, and whether or not it is the right one.
func TestReplacedAudience(t *testing.T) {
	const origin = "https://push.example.net"
	for _, aud := range []string{`"` + origin + `"`, `["` + origin + `"]`, `["https://other.example.net"]`, `"` + origin + `/"`, `"not a URL"`, "null"} {
		c, err := vapid.ParseClaims([]byte(`{"sub": "mailto:ops@example.com", "aud": ` + aud + `}`))
		if err != nil {
			t.Fatal(err)
		}
		s := &vapid.Signer{Key: newTestKey(t), Claims: c}
		token, err := s.Sign(origin)
		if err != nil {
			t.Errorf("%s: %v", aud, err)
		} else if problems := token.Check(origin); problems != nil {
			t.Errorf("%s: %+v", aud, problems)
		}
		if again, err := vapid.ParseClaims([]byte(`{"sub": "mailto:ops@example.com", "aud": ` + aud + `}`)); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: the claims were changed: %+v", aud, c)
		}
	}
}
