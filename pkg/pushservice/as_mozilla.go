package pushservice

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// mozilla is autopush. Its responses were compared with autopush-rs 1.83.
func mozilla() *personality {
	p := strict()
	p.name = Mozilla
	p.maxBody = 5630
	p.noToken = "Missing VAPID public key"
	p.leeway = time.Minute
	p.ignores = ignoresSub
	p.authorization = mozillaAuthorization
	p.header = mozillaHeader
	p.receipts = false
	p.preflights = true
	p.forgetsBatches = true
	p.status = func(e *Error) int {
		if e.kind == kindUnknownEncoding {
			return http.StatusBadRequest
		}
		return e.Status
	}
	p.refuse = func(w http.ResponseWriter, e *Error, status int) {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			writeEmpty(w, status)
			return
		}
		response := *e
		response.Status = status
		if e.kind == kindExpired {
			response.Problem = "ExpiredSignature"
		}
		writeJSON(w, status, &response)
	}
	return p
}

// mozillaAuthorization refuses forms of Authorization that RFC 9110 allows but
// autopush does not: autopush separates parameters only by commas, reads quotation
// marks as part of the value, and knows t and k only in lower case.
func mozillaAuthorization(value string) error {
	if value == "" {
		return unauthorized(kindHeader, "Missing VAPID token", "Authorization is empty")
	}
	scheme, rest, ok := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "vapid") {
		if before, _, tab := strings.Cut(value, "\t"); tab && strings.EqualFold(before, "vapid") {
			return unauthorized(kindHeader, "Missing VAPID token", "Authorization has a tab after the scheme, expected a space")
		}
		return nil
	}
	parameters := make(map[string]string)
	for item := range strings.SplitSeq(rest, ",") {
		if name, v, found := strings.Cut(strings.TrimSpace(item), "="); found {
			parameters[name] = v
		}
	}
	k := parameters["k"]
	switch {
	case !ok:
		return unauthorized(kindHeader, "Missing VAPID token", "Authorization has no parameters")
	case k == "":
		return unauthorized(kindHeader, "Missing VAPID public key", "Authorization has no parameter k; this push service separates parameters by commas and knows t and k only in lower case")
	case parameters["t"] == "":
		return unauthorized(kindHeader, "Missing VAPID token", "Authorization has no parameter t")
	}
	if i := strings.IndexFunc(k, func(r rune) bool { return r > 0x7f || !isBase64URL(byte(r)) && r != '=' && r != '+' && r != '/' }); i >= 0 {
		return unauthorized(kindBadKey, "Invalid VAPID public key", "Invalid symbol %d, offset %d.", k[i], i)
	}
	return nil
}

// mozillaHeader changes the headers that autopush reads differently from RFC 8030.
func mozillaHeader(h http.Header) http.Header {
	h = h.Clone()
	h.Del("Urgency")
	if v := h.Values("TTL"); len(v) == 1 {
		if n := strings.TrimPrefix(v[0], "+"); n != v[0] && strings.Trim(n, "0123456789") == "" {
			h.Set("TTL", n)
		} else if _, err := strconv.ParseInt(v[0], 10, 64); err != nil && v[0] != "" && strings.Trim(v[0], "0123456789") == "" {
			h.Del("TTL") // autopush treats 2^63 and more as a missing value
		}
	}
	if v := h.Values("Topic"); len(v) == 1 {
		if strings.ContainsFunc(v[0], func(r rune) bool { return r > 0x7f }) {
			h.Del("Topic")
		} else if t := strings.TrimRight(v[0], "="); len(v[0])-len(t) <= 2 && t != "" {
			h.Set("Topic", t)
		}
	}
	return h
}
