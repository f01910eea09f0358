package inspect

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// inspector recognizes things. Its methods read only their arguments.
type inspector struct {
	showSecrets bool
	columns     *bulk.Columns // nil unless they were given
	hint        func(string) string
	depth       int // number of layers that were removed
}

// maxLayers bounds how often a thing may be wrapped.
const maxLayers = 6

// inspect describes some bytes.
func (in inspector) inspect(data []byte) *Thing {
	plain := UTF8(data)
	t := in.recognize(plain)
	if in.columns != nil || t.Broken() && (!t.Recognized() || t.Kind == KindOtherKey || t.Kind == KindSubscription || t.Kind == KindSubscriptions) {
		if rows := in.rows(plain); rows != nil {
			t = rows
		} else if name, _ := notation.Name(string(plain)); name != "" {
			t = &Thing{Kind: KindSubscription, Title: "push subscription, not plain JSON"}
			_, err := webpush.ParseSubscription(plain)
			t.failErr(err)
		}
	}
	if len(plain) != len(data) && bytes.IndexByte(data, 0) >= 0 {
		t.add("written as", "UTF-16", "UTF-16, as Windows' shells do; read as UTF-8")
	}
	return t
}

func (in inspector) deeper() inspector { in.depth++; return in }

func (in inspector) recognize(data []byte) *Thing {
	trimmed := strings.TrimSpace(string(data))
	switch {
	case in.depth > maxLayers:
		return unknown(KindText, "something wrapped in too many layers")
	case trimmed == "":
		t := &Thing{Kind: KindEmpty, Title: "nothing"}
		t.fail("it is empty", "check the file or command that it comes from")
		return t
	case bytes.HasPrefix(data, []byte("webpush journal ")) && in.journal(trimmed) != nil: // zeros may be at its end
		return in.journal(trimmed)
	case !utf8.Valid(data) || strings.ContainsFunc(trimmed, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n\f\x1b", r) }):
		return in.binary(data)
	}
	if object, layers := notation.Unwrap(data); layers != nil {
		if t := in.deeper().recognize(object); t.Kind == KindSubscription || t.Kind == KindSubscriptions {
			t.add("encoded in", layers, strings.Join(layers, ", ")+"; webpush decodes it, other programs may not")
			return t
		}
	}
	if strings.ContainsRune("{[\"", rune(trimmed[0])) {
		// autopush's body alone is an error body; text that a library logged is
		// a response.
		if r, ok := ParseResponse(trimmed); ok && string(r.Body) != trimmed {
			return in.describeResponse(r)
		}
		if t := in.json(trimmed); t != nil {
			return t
		}
	}
	for _, try := range []func(string) *Thing{in.pem, in.response, in.curl, in.request, in.headers, in.headerValue, in.bareToken, in.url, in.key, in.toolText, in.errorText, in.encoded} {
		if t := try(trimmed); t != nil {
			return t
		}
	}
	return in.unknownText(trimmed)
}

// unknown is a thing that is not recognized.
func unknown(kind, title string) *Thing {
	t := &Thing{Kind: kind, Title: title}
	t.fail("not recognized: "+title, "")
	return t
}

func (in inspector) binary(data []byte) *Thing {
	if found, err := vapid.Recognize(data); err == nil {
		return in.keyThing(found)
	} else if e := (*vapid.Error)(nil); errors.As(err, &e) && !e.NoKey() && data[0] == 0x30 && derLength(data) {
		return otherKey(err)
	}
	if t := bodyThing(data); t != nil {
		return t
	}
	what := ""
	switch mime := http.DetectContentType(data); {
	case notation.Foreign(data) != "":
		return foreign(data)
	case mime != "application/octet-stream" && !strings.HasPrefix(mime, "text/"):
		what = ", " + mime
	case bytes.HasPrefix(data, []byte("\x30\x82")):
		what = ", perhaps DER such as a PKCS#12 file or a certificate"
	}
	t := unknown(KindBinary, fmt.Sprintf("%s of binary data%s", text.Count(len(data), "byte"), what))
	t.add("size", len(data), text.Count(len(data), "byte"))
	if what == "" && len(data) >= ece.AESGCM.Overhead() && len(data) <= 2*ece.MaxBody {
		t.Problems[0].Hint = "it may be the body of an aesgcm message, which says nothing without its headers: give the whole request, or the message as JSON with its headers"
	}
	return t
}

// foreign is a file that is not text, or a web page, which is named as where a
// subscription is expected.
func foreign(data []byte) *Thing {
	t := &Thing{Kind: KindBinary, Title: notation.Foreign(data)}
	_, err := webpush.ParseSubscription(data)
	t.failErr(err)
	t.add("size", len(data), text.Count(len(data), "byte"))
	return t
}

// derLength reports whether data is as long as its DER header says, or shorter because
// it was truncated. Random bytes rarely are.
func derLength(b []byte) bool {
	switch {
	case len(b) < 4:
		return false
	case b[1] < 0x80:
		return len(b) == int(b[1])+2
	case b[1] == 0x81:
		return len(b) <= int(b[2])+3
	}
	return b[1] == 0x82
}

func (in inspector) unknownText(s string) *Thing {
	lines := strings.Count(s, "\n") + 1
	title := text.Count(utf8.RuneCountInString(s), "character") + " of text"
	if lines > 1 {
		title += " in " + text.Count(lines, "line")
	}
	t := unknown(KindText, title)
	switch {
	case strings.HasPrefix(s, "[object "):
		t.Problems[0].Message = "it is what JavaScript makes of an object that is used as a text; nothing of the object is left"
		t.Problems[0].Hint = "take JSON.stringify(subscription) in the browser"
	case s == "undefined" || s == "null":
		t.Problems[0].Hint = "the browser was not subscribed: pushManager.getSubscription() gave null"
	case notation.Foreign([]byte(s)) != "":
		t = foreign([]byte(s))
		t.Kind = KindText
	case strings.HasPrefix(s, "<"):
		t = unknown(KindText, "XML, or a part of a web page")
	case strings.Contains(s, "eyJ"):
		t.Problems[0].Hint = "there seems to be a token in it: give the header or the token alone"
	case strings.Contains(s, `"endpoint"`):
		t.Problems[0].Hint = "there seems to be a subscription in it: give its JSON alone, from { to }"
	}
	return t
}

var hexText = pattern.New(`^(?:0[xX])?[0-9A-Fa-f]{2,}$`)

// encoded looks into base64 and hexadecimal digits.
func (in inspector) encoded(s string) *Thing {
	joined := strings.Join(strings.Fields(strings.Trim(s, "\"'`")), "")
	if len(joined) < 8 {
		return nil
	}
	form, b := "", []byte(nil)
	if digits := strings.TrimPrefix(strings.ToLower(joined), "0x"); hexText.MatchString(joined) && len(digits)%2 == 0 && len(digits) >= 16 {
		form = "hexadecimal digits"
		b, _ = hex.DecodeString(digits)
	}
	if b == nil {
		words := len(strings.Fields(s))
		var ok bool
		if b, form, ok = decodeBase64(joined); !ok || words > 1 && len(joined)/words < 16 {
			return nil
		}
		if len(joined) < 20 && !strings.ContainsAny(joined, "0123456789-_+/=") {
			return nil // a word
		}
	}
	inner := in.deeper().recognize(UTF8(b))
	if !inner.Recognized() {
		t := unknown(KindBase64, fmt.Sprintf("%s of %s", form, lookOf(b, inner)))
		t.add("size", len(b), text.Count(len(b), "byte"))
		switch n := len(b); {
		case n == ece.AuthSize:
			t.Problems[0].Hint = "it has the length of a subscription's auth secret, or of a salt"
		case n > 33 && n != 65 && n < 80 && b[0] == 4:
			t.Problems[0].Hint = "it begins as a public key does, which has 65 bytes: it looks truncated or damaged"
		case inner.Kind == KindBinary:
			t.Problems[0].Hint = inner.Problems[0].Hint
		}
		return t
	}
	inner.add("encoded in", form)
	switch inner.Kind {
	case KindBody, KindMessage:
	default:
		if !in.wrapped() {
			inner.warn("it was additionally encoded in base64 or hexadecimal digits", "decode it once before it is used")
		} else {
			inner.warn("it was encoded in base64 or hexadecimal digits twice", "decode it before it is used")
		}
	}
	return inner
}

func (in inspector) wrapped() bool { return in.depth > 0 }

func lookOf(b []byte, inner *Thing) string {
	if inner.Kind == KindBase64 || inner.Kind == KindJSON {
		return inner.Title
	}
	if IsText(b) {
		return text.Count(len(b), "byte") + " of text"
	}
	return inner.Title
}
