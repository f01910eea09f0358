package vapid_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestMisplacedClaims: what has secrets is not read as claims, however deep it is.
func TestMisplacedClaims(t *testing.T) {
	const auth, point = "BTBZMqHH6r4Tts7J_aSIgg", "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	sub := `{"endpoint":"https://push.example.net/x","keys":{"p256dh":"` + point + `","auth":"` + auth + `"}}`
	for kind, texts := range map[string][]string{
		"subscription": {sub, `{"data":[` + sub + `]}`, `{"a":{"b":{"c":` + sub + `}}}`, `{"sub":"mailto:a@example.com","s":` + fmt.Sprintf("%q", sub) + `}`,
			`{"list":` + fmt.Sprintf("%q", "["+sub+"]") + `}`, `{"PushEndpoint":"https://push.example.net/x"}`, `{"authToken":"` + auth + `"}`, `{"key_p256dh":"` + point + `"}`, `{"sub":"mailto:a@example.com","p256dh":"x"}`,
			`{"push_url":"https://push.example.net/x"}`, `{"subscription.endpoint":"https://push.example.net/x"}`, `{"pub_key_set":{"auth":"x"}}`, `{"web_p256":"` + point + `"}`},
		"key":     {`{"vapid":{"privateKey":"x"}}`, `{"VAPID_PRIVATE_KEY":"x"}`, `{"keys":[{"kty":"EC"}]}`, `{"private-key":"x"}`},
		"headers": {`{"headers":{"Authorization":"vapid t=a, k=b"}}`, `{"Crypto-Key":"p256ecdsa=x"}`},
		"":        {`{"sub":"mailto:a@example.com"}`, `{"sub":"mailto:a@example.com","auth_time":1,"extra":{"a":["x","{"]},"url":"https://www.example.com/x","identifier":"https://www.example.com/y","scope":"push","authority":"abc"}`, `{"aud":"https://push.example.net","keys":7}`},
	} {
		for _, text := range texts {
			_, err := vapid.ParseClaims([]byte(text))
			var e *vapid.Error
			got := ""
			if errors.As(err, &e) {
				got = e.Misplaced()
			}
			if got != kind || (err != nil) != (kind != "") {
				t.Errorf("%s: %q, %v, want %q", text, got, err, kind)
			}
		}
	}
}
