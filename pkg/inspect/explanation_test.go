package inspect

import (
	"net/http"
	"slices"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestExplain returns one explanation, or one for each push service that may have sent
// the response.
func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		r       Response
		service webpush.Service
		want    []webpush.Service
		code    webpush.Code
	}{
		"given":                  {r: Response{Status: 406}, service: webpush.WNS, want: []webpush.Service{webpush.WNS}, code: webpush.CodeRateLimited},
		"given as other":         {r: Response{Status: 406}, service: webpush.Other, want: []webpush.Service{webpush.Other}, code: webpush.CodeRejected},
		"unknown":                {r: Response{Status: 406}, want: []webpush.Service{webpush.WNS, webpush.Other}, code: webpush.CodeRateLimited},
		"by a header":            {r: Response{Status: 410, Header: http.Header{"Apns-Id": {"x"}}}, want: []webpush.Service{webpush.Apple}, code: webpush.CodeGone},
		"accepted":               {r: Response{Status: 201}, want: []webpush.Service{webpush.Other}},
		"another server":         {r: Response{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><title>Login</title>")}, want: []webpush.Service{webpush.Other}, code: webpush.CodeOtherServer},
		"words":                  {r: Response{Body: []byte("Unregistered")}, want: []webpush.Service{webpush.Apple}, code: webpush.CodeGone},
		"words of another":       {r: Response{Body: []byte("Unregistered")}, service: webpush.FCM},
		"words that nobody says": {r: Response{Body: []byte("hello")}},
	} {
		list := c.r.Explain(c.service)
		var services []webpush.Service
		for _, e := range list {
			services = append(services, e.Service)
		}
		if !slices.Equal(services, c.want) || list != nil && (list[0].Code != c.code || list[0].Meaning == "" || list[0].Hint == "" || list[0].Accepted() != (c.code == "")) {
			t.Errorf("%s: %+v", name, list)
		}
	}
}
