package webpush

import (
	"net/http"
	"testing"
	"time"
)

func TestClockSkew(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 5e8, time.UTC)
	for _, tt := range []struct {
		date, age string
		skew      time.Duration
		ok        bool
		text      string
	}{
		{"Mon, 04 May 2026 11:58:00 GMT", "", 2 * time.Minute, true, "the clock of this machine is 2m0s ahead of the service's"},
		{"Mon, 04 May 2026 12:00:30 GMT", "", -30 * time.Second, true, "the clock of this machine is 30s behind the service's"},
		{"Mon, 04 May 2026 11:55:00 GMT", "300", 0, true, "the clock of this machine is 0s ahead of the service's"},
		{"Mon, 04 May 2026 11:58:00 GMT", "-1", 2 * time.Minute, true, "the clock of this machine is 2m0s ahead of the service's"},
		{"yesterday", "", 0, false, ""},
		{"", "300", 0, false, ""},
	} {
		skew, ok := ClockSkew(http.Header{"Date": {tt.date}, "Age": {tt.age}}, now)
		if skew != tt.skew || ok != tt.ok {
			t.Errorf("Date %q, Age %q: %v, %v", tt.date, tt.age, skew, ok)
		}
		if text := SkewText(skew, "the service's"); ok && text != tt.text {
			t.Errorf("Date %q, Age %q: %q", tt.date, tt.age, text)
		}
	}
}
