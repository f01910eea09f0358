package vapid_test

import (
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestExpiry(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		expires time.Time
		want    vapid.Expiry
	}{
		{time.Time{}, vapid.ExpiryMissing},
		{now.Add(-time.Hour), vapid.ExpiryPast},
		{now, vapid.ExpiryPast},
		{now.Add(time.Second), vapid.ExpiryValid},
		{now.Add(vapid.MaxLifetime), vapid.ExpiryValid},
		{now.Add(vapid.MaxLifetime + time.Second), vapid.ExpiryTooLate},
	} {
		if got := (vapid.Claims{Expires: tt.expires}).Expiry(now); got != tt.want {
			t.Errorf("exp %v at %v: %d, want %d", tt.expires, now, got, tt.want)
		}
	}
}
