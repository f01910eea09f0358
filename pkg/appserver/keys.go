package appserver

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// keys holds the application server keys of a server: the current one, and the old keys
// that it has replaced, which sign for the subscriptions created with them.
type keys struct {
	ring    vapid.Ring
	current string
	byText  map[string]vapid.PublicKey

	mu      sync.Mutex
	counted time.Time
	counts  map[string]int64
	others  []string // current keys of other servers on the store
}

func newKeys(current *vapid.Key, old []*vapid.Key) (*keys, error) {
	ring, err := vapid.NewRing(append([]*vapid.Key{current}, old...)...)
	if err != nil {
		return nil, err
	}
	k := &keys{ring: ring, current: current.PublicKey().String(), byText: make(map[string]vapid.PublicKey)}
	for _, key := range ring {
		k.byText[key.PublicKey().String()] = key.PublicKey()
	}
	return k, nil
}

// one reports whether there is only the current key.
func (k *keys) one() bool { return len(k.ring) == 1 }

// madeWith returns the key with which a new subscription was created, or "" if the
// subscription does not contain it and there are several. It refuses the key of another
// application server, because the push service would reject every message.
func (k *keys) madeWith(sub *webpush.Subscription) (string, error) {
	key, err := sub.ApplicationServerKey()
	switch {
	case err != nil, key.IsZero():
		if k.one() {
			return k.current, nil
		}
		return "", nil
	case k.ring.Find(key) == nil:
		return "", refuse(400, "wrong-key", "the subscription was created with another application server key").
			in("applicationServerKey").hint("unsubscribe, and subscribe with the publicKey of GET /subscription")
	}
	return key.String(), nil
}

// recorded returns sub with the key with which it was created, if the record has it and
// it is not the current key.
func (k *keys) recorded(sub *webpush.Subscription, r Record) *webpush.Subscription {
	if k.one() || sub == nil || r.Key == k.current {
		return sub
	}
	key, ok := k.byText[r.Key]
	if !ok {
		return sub
	}
	return sub.MadeWith(key)
}

// found returns the key that signed a message, if it is not yet the key of the record;
// otherwise "".
func (k *keys) found(r Record, receipt *webpush.Receipt) string {
	if k.one() || receipt == nil || receipt.Key.IsZero() {
		return ""
	}
	if key := receipt.Key.String(); key != r.Key {
		return key
	}
	return ""
}

// countKeysFor limits the reuse of the numbers of subscriptions per key. Counting reads all
// subscriptions.
const countKeysFor = time.Minute

// count returns the number of subscriptions created with each key, at most a minute old.
// The key "" stands for subscriptions whose key is not known.
func (k *keys) count(ctx context.Context, store Store) (map[string]int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counts != nil && time.Since(k.counted) < countKeysFor {
		return k.counts, nil
	}
	counts, err := store.CountKeys(ctx)
	if err != nil {
		return nil, err
	}
	k.counts, k.counted = counts, time.Now()
	return counts, nil
}

// KeyCount is the number of subscriptions that were created with a key.
type KeyCount struct {
	// PublicKey is the key; empty for subscriptions whose key is not known.
	PublicKey string `json:"publicKey"`
	// Fingerprint is the fingerprint of the key, as shown by [vapid.PublicKey].
	Fingerprint string `json:"fingerprint,omitempty"`
	// Use is "current", "old" for another key with which the server can sign,
	// "missing" for a key that it does not have, or "unknown".
	Use           string `json:"use"`
	Subscriptions int64  `json:"subscriptions"`
}

// list returns the counts for display, the current key first.
func (k *keys) list(counts map[string]int64) []KeyCount {
	var list []KeyCount
	add := func(key, use string, n int64) {
		c := KeyCount{PublicKey: key, Use: use, Subscriptions: n}
		if p, err := vapid.ParsePublicKey([]byte(key)); err == nil {
			c.Fingerprint = p.Fingerprint()
		}
		list = append(list, c)
	}
	for i, key := range k.ring {
		use, text := "old", key.PublicKey().String()
		if i == 0 {
			use = "current"
		}
		add(text, use, counts[text])
	}
	var others []string
	for key := range counts {
		if _, ours := k.byText[key]; !ours {
			others = append(others, key)
		}
	}
	slices.Sort(others)
	for _, key := range others {
		use := "missing"
		if key == "" {
			use = "unknown"
		}
		add(key, use, counts[key])
	}
	return list
}

// missing returns the keys of subscriptions for which this server cannot sign: another
// server on the same database has other keys, or a key was removed too early.
func (s *Server) missing(ctx context.Context) ([]KeyCount, error) {
	counts, err := s.keys.count(ctx, s.store)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(s.keys.list(counts), func(c KeyCount) bool { return c.Use != "missing" || c.Subscriptions == 0 }), nil
}

// missingEvery is the interval between checks for missing keys.
const missingEvery = time.Minute

// warnMissing logs each missing key once, until ctx is done.
func (s *Server) warnMissing(ctx context.Context) {
	known := make(map[string]bool)
	for {
		list, err := s.missing(ctx) // failures of the store are reported elsewhere
		for _, c := range list {
			if err == nil && !known[c.PublicKey] {
				known[c.PublicKey] = true
				s.log.Warn("subscriptions of a key that this server does not have", "fingerprint", c.Fingerprint, "subscriptions", c.Subscriptions)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(missingEvery):
		}
	}
}

const (
	// announceEvery is the interval at which a server announces its current key to the
	// other servers on the store, and announceFor the time for which they know it.
	announceEvery = 10 * time.Second
	announceFor   = 3 * announceEvery
)

// announceKey announces the current key until ctx is done, and notices other servers with
// another current key: a browser would renew its subscription each time that it meets
// another server.
func (s *Server) announceKey(ctx context.Context) {
	known := make(map[string]bool)
	for {
		list, err := s.store.Announce(ctx, s.keys.current, announceFor)
		if err == nil { // failures of the store are reported elsewhere
			others := slices.DeleteFunc(list, func(key string) bool { return key == s.keys.current })
			s.keys.mu.Lock()
			s.keys.others = others
			s.keys.mu.Unlock()
			for _, key := range others {
				if p, err := vapid.ParsePublicKey([]byte(key)); err == nil && !known[key] {
					known[key] = true
					s.log.Warn("another server on this database has another current key", "fingerprint", p.Fingerprint())
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceEvery):
		}
	}
}

// warning returns a problem with the keys of the servers on the store, or "".
func (s *Server) warning(ctx context.Context) string {
	s.keys.mu.Lock()
	others := len(s.keys.others)
	s.keys.mu.Unlock()
	if others > 0 {
		return "another server on this database has another current key; servers that share a database need the same keys"
	}
	if list, err := s.missing(ctx); err == nil && len(list) > 0 {
		return "some subscriptions were created with a key that this server does not have; servers that share a database need the same keys"
	}
	return ""
}
