package webpush

import (
	"errors"
	"maps"
	"testing"
)

func TestParseRates(t *testing.T) {
	for _, row := range []struct {
		text      string
		perOrigin float64
		services  map[Service]float64
	}{
		{"200", 200, nil},
		{"0.5/s", 0.5, nil},
		{"600/m", 10, nil},
		{"default=3600/h", 1, nil},
		{"fcm=10000/s,mozilla=600/m,default=200", 200, map[Service]float64{FCM: 10000, Mozilla: 10}},
		{"5,apple=1,wns=2,unifiedpush=3", 5, map[Service]float64{Apple: 1, WNS: 2, UnifiedPush: 3}},
		{"fcm=1", 0, map[Service]float64{FCM: 1}},
	} {
		r, err := ParseRates(row.text)
		if err != nil || r.PerOrigin != row.perOrigin || !maps.Equal(r.Services, row.services) {
			t.Errorf("%s: %+v, %v", row.text, r, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "NaN", "Inf", "1e10", "5/", "5/d", "5/s/s", "fcm", "fcm=", "google=1", "other=1", "1,2", "fcm=1,fcm=2", "1,default=2", "1,"} {
		var e *InputError
		if r, err := ParseRates(text); !errors.As(err, &e) || e.Part != "rate" {
			t.Errorf("%q is read as %+v, %v", text, r, err)
		}
	}
}
