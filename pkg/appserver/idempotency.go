package appserver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	// idempotencyFor is the retention time of an Idempotency-Key.
	idempotencyFor = 24 * time.Hour
	maxIdempotency = 255 // size limit of a key, in bytes
)

// ErrOtherRequest is returned by [Store].CreateJob when another request has
// used the key.
var ErrOtherRequest = errors.New("the key was used for another request")

// Once makes repeated calls of [Store].CreateJob create only one job. The zero value
// creates a job each time.
type Once struct {
	Key     string        // identifies the request
	Request string        // differs between requests
	For     time.Duration // how long the key is remembered, from its first use
}

// onceOf reads the Idempotency-Key of a request. The store only gets digests, because a
// key may be a secret of another system.
func onceOf(r *http.Request, p *pushRequest, m JobMessage, to Filter) (Once, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return Once{}, nil
	}
	key := strings.TrimSpace(values[0])
	bad := func(format string, a ...any) (Once, error) {
		return Once{}, refuse(http.StatusBadRequest, "invalid-input", format, a...).in("Idempotency-Key").hint("use a random value, such as a UUID, for each push")
	}
	switch {
	case len(values) > 1:
		return bad("found %d Idempotency-Key header fields, expected one", len(values))
	case key == "":
		return bad("Idempotency-Key is empty")
	case len(key) > maxIdempotency:
		return bad("Idempotency-Key is %d bytes long, expected at most %d", len(key), maxIdempotency)
	case strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }):
		return bad("Idempotency-Key has a character other than printable ASCII")
	}
	request, err := json.Marshal(struct {
		Message JobMessage
		To      Filter
		SendAt  string
	}{m, to, p.SendAt})
	if err != nil {
		return Once{}, err
	}
	return Once{Key: digest([]byte(key)), Request: digest(request), For: idempotencyFor}, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
