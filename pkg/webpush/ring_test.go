package webpush

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Keys are replaced without losing subscriptions: what the subscription records
// counts, and else the push service's own words, once for each other key.
func TestOldKeys(t *testing.T) {
	current, old, older, foreign := testKey(t), testKey(t), testKey(t), testKey(t)
	const mozilla, wns = "https://updates.push.services.mozilla.com/wpush/v2/" + testToken, "https://wns2-par02p.notify.windows.com/w/?token=" + testToken
	for _, tt := range []struct {
		name     string
		endpoint string
		madeWith *vapid.Key
		recorded *vapid.Key // in the subscription
		chosen   *vapid.Key // by the caller
		answer   string     // for another key
		tried    []*vapid.Key
		fails    bool
	}{
		{"the current key", mozilla, current, nil, nil, "", []*vapid.Key{current}, false},
		{"an old key, recorded", mozilla, old, old, nil, "", []*vapid.Key{old}, false},
		{"an old key, in the service's words", mozilla, older, nil, nil, autopush(401, 109, "VAPID public key mismatch"), []*vapid.Key{current, old, older}, false},
		{"another site's key", mozilla, foreign, nil, nil, autopush(401, 109, "VAPID public key mismatch"), []*vapid.Key{current, old, older}, true},
		{"another site's key, recorded", mozilla, older, foreign, nil, autopush(401, 109, "VAPID public key mismatch"), []*vapid.Key{current, old, older}, false},
		{"other words", mozilla, old, nil, nil, autopush(401, 109, "invalid VAPID audience"), []*vapid.Key{current}, true},
		{"no words", wns, old, nil, nil, "", []*vapid.Key{current}, true},
		{"the caller's choice", mozilla, old, nil, current, autopush(401, 109, "VAPID public key mismatch"), []*vapid.Key{current}, true},
	} {
		id := testIdentity(t)
		members := `{`
		if tt.recorded != nil {
			members += `"applicationServerKey":"` + tt.recorded.PublicKey().String() + `",`
		}
		text := subscriptionJSON(tt.endpoint, encode64(id.Recipient().P256DH()), encode64(id.Recipient().Auth()))
		sub, err := ParseSubscription([]byte(strings.Replace(text, "{", members, 1)))
		if err != nil {
			t.Fatal(err)
		}
		for _, bulk := range []bool{false, true} {
			var tried []vapid.PublicKey
			c := &Client{Key: current, OldKeys: []*vapid.Key{old, older}, Subject: "mailto:ops@push.dev", HTTP: doerFunc(func(r *http.Request) (*http.Response, error) {
				token, err := vapid.ParseToken(r.Header.Get("Authorization"), "")
				if err != nil {
					t.Error(err)
					return nil, err
				}
				tried = append(tried, token.PublicKey())
				if token.PublicKey() == tt.madeWith.PublicKey() {
					return respond(201, ""), nil
				}
				status := 401
				if tt.endpoint == wns {
					status = 403
				}
				return respond(status, tt.answer), nil
			})}
			msg := Message{Payload: []byte("hi"), Key: tt.chosen}
			var receipt *Receipt
			if bulk {
				for r := range c.SendAll(t.Context(), func(yield func(Job, error) bool) { yield(Job{Subscription: sub, Message: msg}, nil) }, BulkOptions{}) {
					receipt, err = r.Receipt, r.Err
					if r.Attempts != len(tt.tried) {
						t.Errorf("%s: %d attempts, %d keys", tt.name, r.Attempts, len(tt.tried))
					}
				}
			} else {
				receipt, err = c.Send(t.Context(), sub, msg)
			}
			var want []vapid.PublicKey
			for _, k := range tt.tried {
				want = append(want, k.PublicKey())
			}
			if !slices.Equal(tried, want) || (err != nil) != tt.fails {
				t.Errorf("%s, bulk %t: %d keys, expected %d; %v", tt.name, bulk, len(tried), len(want), err)
				continue
			}
			if err == nil && receipt.Key != tt.madeWith.PublicKey() {
				t.Errorf("%s: the receipt names the key %s", tt.name, receipt.Key)
			}
			if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

// The keys of records have no limit, what is remembered of them has.
func TestSignersAreBounded(t *testing.T) {
	c := &Client{Subject: "mailto:ops@push.dev"}
	for range maxSigners + 10 {
		c.signers.of(c, testKey(t))
	}
	if n := len(c.signers.byKey); n > maxSigners {
		t.Errorf("%d signers are kept", n)
	}
}
