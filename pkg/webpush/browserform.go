package webpush

import "strings"

// plainSubscription reads a subscription that is written in exactly the way of
// browsers (JSON.stringify) or of the JSON writers of other languages: without
// other fields, escapes, or characters beyond ASCII. Nearly every subscription
// is written that way, and reading it needs a tenth of the time. For all
// others, valid or not, ok is false, and encoding/json reads them.
func plainSubscription(data []byte) (endpoint, p256dh, auth string, ok bool) {
	p := plainText(data) // one copy, which the parts share
	if !p.next('{') || !p.field("endpoint", &endpoint) || !p.next(',') {
		return "", "", "", false
	}
	if q := p; q.name("expirationTime") {
		rest, found := strings.CutPrefix(string(q), "null")
		if q = plainText(rest); !found || !q.next(',') {
			return "", "", "", false
		}
		p = q
	}
	if !p.name("keys") || !p.next('{') {
		return "", "", "", false
	}
	if q := p; q.field("auth", &auth) {
		p = q
		ok = p.next(',') && p.field("p256dh", &p256dh)
	} else {
		ok = p.field("p256dh", &p256dh) && p.next(',') && p.field("auth", &auth)
	}
	ok = ok && p.next('}') && p.next('}') && p == "" && p256dh != "" && auth != ""
	return endpoint, p256dh, auth, ok
}

// plainText is the text left to read. Each method skips the item in its name
// and white space after it, and reports whether the item was present.
type plainText string

func (p *plainText) next(c byte) bool {
	if *p == "" || (*p)[0] != c {
		return false
	}
	*p = (*p)[1:]
	for *p != "" && ((*p)[0] == ' ' || (*p)[0] == '\n') {
		*p = (*p)[1:]
	}
	return true
}

func (p *plainText) string(s *string) bool {
	if *p == "" || (*p)[0] != '"' {
		return false
	}
	for i := 1; i < len(*p); i++ {
		switch c := (*p)[i]; {
		case c == '"':
			*s, *p = string((*p)[1:i]), (*p)[i:]
			return p.next('"')
		case c == '\\' || c < ' ' || c >= 0x7f:
			return false
		}
	}
	return false
}

func (p *plainText) name(name string) bool {
	var found string
	return p.string(&found) && found == name && p.next(':')
}

func (p *plainText) field(name string, value *string) bool {
	return p.name(name) && p.string(value)
}
