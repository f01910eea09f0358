// Package inspect recognizes any input that is related to Web Push by its
// content, explains each part of it, and finds problems: subscriptions, keys,
// claims, tokens, headers, encrypted bodies, requests, responses, and log
// output of other libraries. It reads only its input, and never shows private
// keys, secrets, or tokens.
//
//	thing := inspect.Inspect(data, inspect.Options{})
//	fmt.Println(thing.Kind, thing.Title, thing.Problems)
//	if response, ok := inspect.ParseResponse(text); ok {
//		fmt.Println(response.Explain("")[0].Meaning)
//	}
package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// The kinds of things.
const (
	KindSubscription  = "subscription"
	KindSubscriptions = "subscriptions"
	KindEndpoint      = "endpoint"
	KindPrivateKey    = "private-key"
	KindPublicKey     = "public-key"
	KindOtherKey      = "other-key"
	KindReceiver      = "receiver"
	KindClaims        = "claims"
	KindToken         = "token"
	KindHeaders       = "headers"
	KindBody          = "encrypted-body"
	KindMessage       = "encrypted-message"
	KindDecrypted     = "decrypted-message"
	KindPayload       = "payload"
	KindRequest       = "request"
	KindCurl          = "curl"
	KindResponse      = "response"
	KindErrorBody     = "error-body"
	KindReceipt       = "receipt"
	KindVerdict       = "verdict"
	KindStatus        = "status"
	KindResults       = "results"
	KindJournal       = "journal"
	KindTalk          = "talk"
	KindJSON          = "json"
	KindText          = "text"
	KindBase64        = "base64"
	KindBinary        = "binary"
	KindEmpty         = "empty"
)

// Thing is the description of some bytes.
type Thing struct {
	Kind     string    // one of the Kind constants
	Title    string    // one line for people
	Fields   Fields    // what each part means
	Problems []Problem // what looks wrong; an error means broken or not recognized
	Secret   bool      // nobody else should be able to read it
}

// Problem is something wrong with a [Thing].
type Problem struct {
	Severity preflight.Severity `json:"severity"`       // how serious it is
	Message  string             `json:"message"`        // the problem, with the value unless it is a secret
	Hint     string             `json:"hint,omitempty"` // what to do about it, or ""
}

// Field is one part of a [Thing].
type Field struct {
	Name  string // name of the part
	Value any    // machine-readable; can be written as JSON
	Text  string // human-readable; may contain untrusted text that is not safe for a terminal
}

// Options configures [Inspect].
type Options struct {
	// ShowSecrets shows endpoints whole instead of as their origins.
	ShowSecrets bool
	// Columns are the names of a subscription's parts in rows with names of their
	// own. If they are set, the data is read as records of subscriptions.
	Columns *bulk.Columns
	// Hint, if set, replaces each hint, for example to name the options of a program.
	Hint func(hint string) string
}

// Inspect describes data: text in UTF-8 or UTF-16, or binary. It always returns a
// Thing; if nothing is recognized, one of a general kind such as [KindText], with
// a problem.
func Inspect(data []byte, o Options) *Thing {
	in := inspector{showSecrets: o.ShowSecrets, columns: o.Columns, hint: o.Hint}
	if in.hint == nil {
		in.hint = func(hint string) string { return hint }
	}
	t := in.inspect(data)
	for i, p := range t.Problems {
		t.Problems[i].Hint = in.hint(p.Hint)
	}
	return t
}

// Recognized reports whether the thing is of a kind that Web Push knows.
func (t *Thing) Recognized() bool {
	switch t.Kind {
	case KindText, KindBinary, KindBase64, KindEmpty, KindJSON:
		return false
	}
	return true
}

// Broken reports whether a problem is an error.
func (t *Thing) Broken() bool {
	return slices.ContainsFunc(t.Problems, func(p Problem) bool { return p.Severity == preflight.SeverityError })
}

// Warn adds a warning, unless it is there already.
func (t *Thing) Warn(message, hint string) { t.warn(message, hint) }

// Fields are written to JSON as one object, in their order.
type Fields []Field

// MarshalJSON writes the fields as one object.
func (l Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		value, err := text.JSON(f.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// add adds a field, whose text is its value unless one is given. A name that
// is there already gets a number.
func (t *Thing) add(name string, value any, texts ...string) {
	show := fmt.Sprint(value)
	if len(texts) > 0 {
		show = strings.Join(texts, ", ")
	}
	base := name
	for n := 2; t.has(name); n++ {
		name = fmt.Sprintf("%s %d", base, n)
	}
	t.Fields = append(t.Fields, Field{name, value, text.Clip(show, 600)})
}

func (t *Thing) has(name string) bool {
	for _, f := range t.Fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

func (t *Thing) fail(message, hint string) { t.problem(preflight.SeverityError, message, hint) }
func (t *Thing) warn(message, hint string) { t.problem(preflight.SeverityWarning, message, hint) }

func (t *Thing) problem(severity preflight.Severity, message, hint string) {
	for _, p := range t.Problems {
		if p.Message == message {
			return
		}
	}
	t.Problems = append(t.Problems, Problem{severity, text.Clip(message, 600), hint})
}

// failErr adds an error with its hint.
func (t *Thing) failErr(err error) {
	if err != nil {
		t.fail(err.Error(), webpush.HintOf(err))
	}
}
