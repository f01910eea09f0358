package inspect

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// decodeBase64 decodes any kind of base64 and says which it is.
func decodeBase64(s string) (b []byte, form string, ok bool) {
	body := strings.TrimRight(s, "=")
	padded := len(body) != len(s)
	std, url := strings.ContainsAny(body, "+/"), strings.ContainsAny(body, "-_")
	encoding := base64.RawURLEncoding
	switch {
	case std && url || body == "" || len(s)-len(body) > 2:
		return nil, "", false
	case std:
		form, encoding = "standard base64", base64.RawStdEncoding
	case url:
		form = "base64url"
	default:
		form = "base64"
	}
	if padded {
		form += " with padding"
	}
	b, err := encoding.DecodeString(body)
	return b, form, err == nil
}

// bodyInBase64 decodes base64 of either alphabet, padded or not, on any number of lines.
func bodyInBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_", "=", "", "\n", "", "\r", "", " ", "").Replace(s)
	return base64.RawURLEncoding.DecodeString(s)
}

// alphabetProblem describes anything unusual about the base64 of a value, or
// returns "".
func alphabetProblem(s string) string {
	std, padded := strings.ContainsAny(s, "+/"), strings.HasSuffix(s, "=")
	switch {
	case std && padded:
		return "is in the standard alphabet of base64, with padding"
	case std:
		return "is in the standard alphabet of base64"
	case padded:
		return "has padding (=)"
	}
	return ""
}

// showTime writes a time, absolute and relative.
func showTime(t time.Time) string {
	if t.Year() > 9999 || t.Year() < 1 {
		return fmt.Sprintf("%d seconds since 1970", t.Unix())
	}
	return fmt.Sprintf("%s, %s", text.Time(t), relative(time.Until(t)))
}

// relative writes a distance from now in its largest units.
func relative(d time.Duration) string {
	past := d < 0
	d = d.Abs().Round(time.Second)
	distance := d.String()
	switch days := int64(d / (24 * time.Hour)); {
	case days >= 730:
		distance = fmt.Sprintf("%d years", days/365)
	case days >= 2:
		distance = fmt.Sprintf("%d days", days)
	case d >= time.Hour:
		distance = bulk.FormatDuration(d.Round(time.Minute))
	}
	if past {
		return distance + " ago"
	}
	return "in " + distance
}

// str returns a JSON string, or "".
func str(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

// number returns a JSON integer, or 0.
func number(raw json.RawMessage) (n int) {
	if json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return n
}

// hintEncrypt is the next step for messages that have to be made again.
const hintEncrypt = "encrypt the message again for Web Push, in aes128gcm"
