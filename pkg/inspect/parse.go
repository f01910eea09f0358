package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// ParseHeaders reads the headers of a request from pasted text: header lines, options of
// curl, the output of curl -v, a JSON object, perhaps within the field "headers", or the
// value of an Authorization header alone. Lines that are not headers are ignored.
func ParseHeaders(text string) (http.Header, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		var fields map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &fields) != nil {
			return nil, errors.New("the headers' JSON is damaged or truncated")
		}
		if raw := fields["headers"]; len(raw) > 0 && raw[0] == '{' {
			return headerMap(raw), nil
		}
		return headerMap(json.RawMessage(text)), nil
	}
	h := make(http.Header)
	for line := range strings.Lines(text) {
		if m := anyHeader.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			h.Set(m[2], strings.TrimSuffix(m[3], m[1]))
		}
	}
	if h.Get("Authorization") == "" {
		h.Set("Authorization", strings.Join(strings.Fields(text), " "))
	}
	return h, nil
}

// fieldsMissing is the problem of an aesgcm body alone.
const fieldsMissing = "a body in aesgcm needs the headers Encryption: salt=… and Crypto-Key: dh=…"

// hasFields reports whether the headers Encryption and Crypto-Key can belong to a body in
// aesgcm.
func hasFields(encryption, cryptoKey string) bool {
	return encryption != "" && dhValue.MatchString(cryptoKey)
}

// encodingOf returns the content encoding that the headers of a message name. Without a
// name, it is aesgcm if there is an Encryption header, and aes128gcm otherwise.
func encodingOf(h http.Header) string {
	switch {
	case h.Get("Content-Encoding") != "":
		return h.Get("Content-Encoding")
	case h.Get("Encryption") != "":
		return string(ece.AESGCM)
	}
	return string(ece.AES128GCM)
}

// ParseMessage reads a captured message: its body as bytes or in base64 of either
// alphabet, or a JSON object with the headers and the body in base64, such as the event
// of a cloud function. header has the fields that are known otherwise, which replace
// those of the message; it may be nil. The content encoding is aes128gcm, or aesgcm if
// there is an Encryption header, unless a header names it. The errors are those of
// [ece.ParseEncryptedMessage], or say what else is wrong with data.
func ParseMessage(data []byte, header http.Header) (*ece.EncryptedMessage, error) {
	found, body, err := captured(data)
	if err != nil {
		return nil, err
	}
	h := make(http.Header)
	maps.Copy(h, found)
	maps.Copy(h, header)
	e, err := ece.ParseEncoding(encodingOf(h))
	if err != nil {
		return nil, err
	}
	if e == ece.AESGCM && !hasFields(h.Get("Encryption"), h.Get("Crypto-Key")) {
		return nil, &ece.Error{Code: ece.CodeField, Problem: fieldsMissing}
	}
	return ece.ParseEncryptedMessage(e, h.Get("Encryption"), h.Get("Crypto-Key"), body)
}

// captured returns the headers, if any, and the body of a captured message.
func captured(data []byte) (header http.Header, body []byte, err error) {
	if len(data) == 0 {
		return nil, nil, webpush.WithHint(errors.New("it is empty, expected an encrypted body"), "pass the body of the request as it was sent")
	}
	trimmed := strings.TrimSpace(string(UTF8(data)))
	if strings.HasPrefix(trimmed, "{") {
		var m struct {
			Headers json.RawMessage `json:"headers"`
			Body    string          `json:"body"`
		}
		if json.Unmarshal([]byte(trimmed), &m) != nil || m.Headers == nil {
			return nil, data, nil
		}
		body, err := bodyInBase64(m.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("the body is not valid base64: %w", err)
		}
		return headerMap(m.Headers), body, nil
	}
	if decoded, err := bodyInBase64(trimmed); err == nil && len(decoded) >= ece.AESGCM.Overhead() { // no encrypted body is text
		return nil, decoded, nil
	}
	return nil, data, nil
}

// ParseReceiver reads the keys of a receiver of messages, in the form of
// [ece.Identity.MarshalJSON]. Its errors say what data is instead.
func ParseReceiver(data []byte) (*ece.Identity, error) {
	var id ece.Identity
	err := json.Unmarshal(UTF8(data), &id)
	if err == nil {
		return &id, nil
	}
	const look = `they look like {"privateKey": …, "p256dh": …, "auth": …}`
	switch t := Inspect(data, Options{}); t.Kind {
	case KindSubscription:
		return nil, webpush.WithHint(errors.New("it is a subscription, which has no private key"), "only the receiver can decrypt: pass the receiver's keys")
	case KindPrivateKey, KindPublicKey:
		return nil, webpush.WithHint(errors.New("it is a VAPID key, expected the keys of a receiver"), "a VAPID key signs; only the receiver's keys decrypt: "+look[len("they look like "):])
	case KindReceiver: // damaged
		if len(t.Problems) > 0 {
			err = webpush.WithHint(errors.New(t.Problems[0].Message), t.Problems[0].Hint)
		}
		return nil, err
	case KindEmpty:
		return nil, webpush.WithHint(errors.New("it is empty, expected the keys of a receiver"), look)
	case KindOtherKey:
		return nil, webpush.WithHint(errors.New(t.Problems[0].Message+"; expected the keys of a receiver"), t.Problems[0].Hint)
	default:
		return nil, webpush.WithHint(fmt.Errorf("expected the keys of a receiver, found %s", t.Title), look)
	}
}
