package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

var (
	statusLine       = pattern.New(`^HTTP/[0-9.]+\s+([1-5][0-9]{2})(?:\s+.*)?$`)
	statusLineWithin = pattern.New(`(?m)^HTTP/[0-9.]+[ \t]+[1-5][0-9]{2}(?:[ \t].*)?$`)
	requestLine      = pattern.New(`^(POST|PUT|DELETE|GET)\s+(\S+)(?:\s+HTTP/[0-9.]+)?$`)
	anyHeader        = pattern.New(`^(?:-H\s+|--header\s+|[<>]\s)?\s*(['"]?)([A-Za-z0-9!#$%&*+.^_|~-]+)\s*:\s?(.*?)\s*\\?$`)
)

// knownHeaders are the headers that identify header lines.
var knownHeaders = []string{"Authorization", "Crypto-Key", "Encryption", "Content-Encoding", "Ttl", "Urgency", "Topic", "Encryption-Key"}

// headerLines reads lines of headers: bare, as options of curl, or as curl -v
// shows them. It returns nil if a line is not a header.
func headerLines(s string) http.Header {
	h := make(http.Header)
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n \t")
		if line == "" || line == ">" || line == "<" {
			continue
		}
		m := anyHeader.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		h.Add(m[2], strings.TrimSuffix(m[3], m[1]))
	}
	return h
}

// headers recognizes lines of headers with one that matters here.
func (in inspector) headers(s string) *Thing {
	h := headerLines(s)
	var names []string
	for _, name := range knownHeaders {
		if h.Get(name) != "" {
			names = append(names, webpush.HeaderName(name))
		}
	}
	if names == nil {
		return nil
	}
	t := &Thing{Kind: KindHeaders, Title: "header " + names[0]}
	if len(names) > 1 {
		t.Title = "headers " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	in.addHeaders(t, h, nil, false, "")
	return t
}

// headerMap reads headers from a JSON object, whose values are strings or lists.
func headerMap(raw json.RawMessage) http.Header {
	h := make(http.Header)
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return h
	}
	for name, v := range fields {
		var list []string
		if s := str(v); s != "" {
			list = []string{s}
		} else if json.Unmarshal(v, &list) != nil {
			continue
		}
		for _, s := range list {
			h.Add(name, s)
		}
	}
	return h
}

// addHeaders shows the headers of a push message and its body, if that is here.
func (in inspector) addHeaders(t *Thing, h http.Header, body []byte, complete bool, audience string) {
	authorization, cryptoKey := h.Get("Authorization"), h.Get("Crypto-Key")
	keyShown := false
	if authorization != "" {
		scheme, _, _ := strings.Cut(authorization, " ")
		keyShown = !strings.EqualFold(scheme, "vapid")
		in.addToken(t, authorization, cryptoKey, audience)
	} else if complete {
		t.warn("the request is not signed, which most push services reject", webpush.CodeVAPIDMissing.Hint())
	}
	in.addOptions(t, h, complete)
	if h.Get("Encryption-Key") != "" || strings.EqualFold(h.Get("Content-Encoding"), "aesgcm128") {
		t.warn("aesgcm128 with Encryption-Key is older than aesgcm and no longer read by browsers", hintEncrypt)
	}
	encoding := h.Get("Content-Encoding")
	switch {
	case body != nil && encoding != "":
		in.addBody(t, encoding, h.Get("Encryption"), cryptoKey, body, keyShown)
		if m, err := ece.ParseEncryptedMessage(ece.Encoding(encoding), h.Get("Encryption"), cryptoKey, body); err == nil {
			if head, err := m.Header(); err == nil && authorization != "" {
				if token, err := vapid.ParseToken(authorization, cryptoKey); err == nil && bytes.Equal(token.PublicKey().Bytes(), head.KeyID) {
					t.warn("the message is encrypted with the key that signs it, which RFC 8292 forbids", "encrypt each message with a key pair of its own")
				}
			}
		}
	case body != nil:
		t.add("size", len(body), text.Count(len(body), "byte"))
		if complete {
			t.warn("the body has no Content-Encoding, so it cannot be decrypted", "send the body with its headers")
		}
	default:
		if encoding != "" {
			if e, err := ece.ParseEncoding(encoding); err != nil {
				t.failErr(err)
			} else {
				t.add("coding", e, string(e))
			}
		}
		in.addFields(t, h.Get("Encryption"), cryptoKey, nil, keyShown)
	}
}

// addOptions shows the headers that are not about keys.
func (in inspector) addOptions(t *Thing, h http.Header, complete bool) {
	if v := h.Get("Ttl"); v != "" {
		ttl, err := webpush.ParseTTL(strings.TrimSpace(v))
		switch n := int64(ttl / time.Second); {
		case err != nil:
			t.add("TTL", v)
			t.warn(err.Error(), webpush.HintOf(err))
		case n == 0:
			t.add("TTL", n, "0: now or never")
		default:
			t.add("TTL", n, fmt.Sprintf("%d seconds (%s)", n, bulk.FormatDuration(ttl)))
			if ttl > preflight.LongestTTL {
				t.warn("TTL is longer than the 28 to 30 days that push services keep a message", "")
			}
		}
	} else if complete {
		t.warn("TTL is missing, which every push service rejects", "send TTL, in whole seconds")
	}
	if v := h.Get("Urgency"); v != "" {
		t.add("Urgency", v)
		if _, err := webpush.ParseUrgency(v); err != nil {
			t.warn(err.Error(), webpush.HintOf(err))
		}
	}
	if v := h.Get("Topic"); v != "" {
		t.add("Topic", v, fmt.Sprintf("%s (%d of %d characters)", v, len(v), webpush.MaxTopic))
		if err := webpush.CheckTopic(v); err != nil {
			t.warn(err.Error(), webpush.HintOf(err))
		} else if f, ok := preflight.AppleTopic(v); ok {
			t.problem(f.Severity, f.Message, f.Hint)
		}
	}
	var others []string
	for name := range h {
		switch name {
		case "Authorization", "Crypto-Key", "Encryption", "Content-Encoding", "Ttl", "Urgency", "Topic":
		case "Content-Length", "Content-Type", "User-Agent", "Accept", "Host", "Accept-Encoding", "Connection":
		default:
			others = append(others, webpush.HeaderName(text.Clip(name, 40)))
		}
	}
	if others != nil {
		slices.Sort(others)
		t.add("other headers", others, strings.Join(others, ", "))
	}
}

func (t *Thing) addService(s webpush.Service) {
	if s == webpush.Other {
		t.add("service", s, "none that is known here")
		return
	}
	t.add("service", s, s.String())
}
