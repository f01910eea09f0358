package webpush

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/seed81da77dd/webpush/pkg/ece"
)

// ownHeader has the values of the headers that this package writes. Empty ones are
// not sent.
type ownHeader struct {
	ttl                                  int64
	urgency                              Urgency
	topic, cachePolicy                   string
	encoding                             ece.Encoding
	encryption, cryptoKey, authorization string
}

// with returns the header of a request. It includes the fields of [Message.Header].
func (o *ownHeader) with(more http.Header) http.Header {
	h := make(http.Header, 8+len(more))
	for name, values := range more {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	// The values of a header are slices: cut them all from one array.
	values := make([]string, 0, 8)
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set("Ttl", strconv.FormatInt(o.ttl, 10))
	set("Urgency", string(o.urgency))
	set("Topic", o.topic)
	if h.Get("X-Wns-Cache-Policy") == "" {
		set("X-Wns-Cache-Policy", o.cachePolicy)
	}
	if o.encoding != "" {
		set("Content-Encoding", string(o.encoding))
		set("Content-Type", "application/octet-stream")
	}
	set("Encryption", o.encryption)
	set("Authorization", o.authorization)
	set("Crypto-Key", o.cryptoKey)
	return h
}

// sharedHeader is the header of the last request to a push service. In a bulk send, the
// next request nearly always has the same header.
type sharedHeader struct {
	last atomic.Pointer[struct {
		own    ownHeader
		header http.Header
	}]
}

// with is [ownHeader.with], which returns the last header again if it has the same
// values. A nil sharedHeader always makes a new one.
func (s *sharedHeader) with(own ownHeader, more http.Header) http.Header {
	if s == nil || len(more) > 0 {
		return own.with(more)
	}
	if last := s.last.Load(); last != nil && last.own == own {
		return last.header
	}
	made := &struct {
		own    ownHeader
		header http.Header
	}{own, own.with(nil)}
	s.last.Store(made)
	return made.header
}
