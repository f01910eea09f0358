package cmd

import (
	"maps"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func TestRatesFlag(t *testing.T) {
	for _, row := range []struct {
		text      string
		perOrigin float64
		services  map[webpush.Service]float64
	}{
		{"200", 200, nil},
		{"0.5/s", 0.5, nil},
		{"600/m", 10, nil},
		{"default=3600/h", 1, nil},
		{"fcm=10000/s,mozilla=600/m,default=200", 200, map[webpush.Service]float64{webpush.FCM: 10000, webpush.Mozilla: 10}},
		{"5,apple=1,wns=2,unifiedpush=3", 5, map[webpush.Service]float64{webpush.Apple: 1, webpush.WNS: 2, webpush.UnifiedPush: 3}},
		{"fcm=1", 0, map[webpush.Service]float64{webpush.FCM: 1}},
	} {
		var r ratesFlag
		err := r.Set(row.text)
		if err != nil || r.String() != row.text || r.rates.PerOrigin != row.perOrigin || !maps.Equal(r.rates.Services, row.services) {
			t.Errorf("%s: %+v, %v", row.text, r, err)
		}
	}
}
