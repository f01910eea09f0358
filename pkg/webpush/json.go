package webpush

import (
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// MarshalJSON returns the error as an object for logs: message, hint, code, service,
// origin, gone, temporary, and, if known, status, errno, reason, retryAfter in seconds,
// attempts, and body, the text of the response. It has no secrets.
func (e *Error) MarshalJSON() ([]byte, error) {
	return text.JSON(struct {
		Message    string  `json:"message"`
		Hint       string  `json:"hint,omitempty"`
		Code       Code    `json:"code"`
		Service    Service `json:"service"`
		Origin     string  `json:"origin"`
		Gone       bool    `json:"gone"`
		Temporary  bool    `json:"temporary"`
		Status     int     `json:"status,omitempty"`
		Errno      int     `json:"errno,omitempty"`
		Reason     string  `json:"reason,omitempty"`
		RetryAfter float64 `json:"retryAfter,omitempty"`
		Attempts   int     `json:"attempts,omitempty"`
		Body       string  `json:"body,omitempty"`
	}{e.Error(), e.Hint(), e.Code, e.Service, e.Origin, e.Gone(), e.Temporary(), e.Status, e.Errno, e.Reason, e.RetryAfter.Seconds(), e.Attempts,
		strings.ToValidUTF8(string(e.Body), "\ufffd")})
}

// MarshalJSON returns the receipt as an object: status, service, origin, attempts,
// latencyMs, and, if known, ttl in seconds, location, receiptSubscription, and note. The
// location is a secret.
func (r *Receipt) MarshalJSON() ([]byte, error) {
	var ttl *int64
	if r.TTL != nil {
		ttl = new(int64(r.TTL.Seconds()))
	}
	return text.JSON(struct {
		Status    int     `json:"status"`
		Service   Service `json:"service"`
		Origin    string  `json:"origin"`
		Attempts  int     `json:"attempts"`
		LatencyMs int64   `json:"latencyMs"`
		TTL       *int64  `json:"ttl,omitempty"`
		Location  string  `json:"location,omitempty"`
		Receipts  string  `json:"receiptSubscription,omitempty"`
		Note      string  `json:"note,omitempty"`
	}{r.Status, r.Service, r.Origin, r.Attempts, r.Latency.Milliseconds(), ttl, r.Location, r.ReceiptSubscription, r.Note})
}
