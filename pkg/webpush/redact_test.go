package webpush

import (
	"maps"
	"net/http"
	"testing"
)

func TestRedactHeader(t *testing.T) {
	for _, row := range [][3]string{
		{"authorization", "vapid t=SECRET.SECRET.SECRET, k=BPublic", "vapid t=…, k=BPublic"},
		{"Authorization", "vapid k=BPublic, t=SECRET.SECRET.SECRET", "vapid t=…, k=BPublic"},
		{"Authorization", "vapid t=SECRET", "vapid …"},
		{"Authorization", "WebPush SECRET.SECRET.SECRET", "WebPush …"},
		{"Authorization", "Basic U0VDUkVU", "Basic …"},
		{"Authorization", "key=SECRET", "key=…"},
		{"Location", "https://push.example/m/SECRET", "…"},
		{"Link", "</s/SECRET>; rel=x", "…"},
		{"Set-Cookie", "a=SECRET", "…"},
		{"Cookie", "a=SECRET", "…"},
		{"Proxy-Authorization", "Basic SECRET", "…"},
		{"Crypto-Key", "p256ecdsa=BPublic", "p256ecdsa=BPublic"},
		{"TTL", "60", "60"},
	} {
		if got := RedactHeader(row[0], row[1]); got != row[2] {
			t.Errorf("%s: %s is shown as %q, want %q", row[0], row[1], got, row[2])
		}
	}
	got := maps.Collect(RedactedHeaders(http.Header{"Ttl": {"60"}, "Location": {"https://push.example/m/SECRET"}}))
	if want := map[string]string{"TTL": "60", "Location": "…"}; !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
