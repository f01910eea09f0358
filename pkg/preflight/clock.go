package preflight

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Clock compares this machine's clock with the Date header of the server at the
// URL, which it requests with HEAD through the client's HTTP; redirects are not
// followed, and any status is accepted. A difference of [webpush.MinSkew] or more is a
// warning: push services compare exp with their own clocks (RFC 8292, section
// 2). If a token of the client would be rejected, it is an error. The error is
// a [*webpush.InputError] if the URL is invalid, a [*webpush.Error] if no
// response arrived, or another error if the response has no Date.
func Clock(ctx context.Context, c *webpush.Client, url string) (Finding, error) {
	notURL := webpush.WithHint(&webpush.InputError{Part: "ask-time", Problem: fmt.Sprintf("%q is not an http or https URL", text.OneLine(url, 80))}, "give a web server, such as https://www.example.com, its host in ASCII")
	origin, err := vapid.Origin(url)
	if err != nil {
		return Finding{}, notURL
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return Finding{}, notURL
	}
	start := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return Finding{}, err
	}
	resp.Body.Close()
	now := start.Add(time.Since(start) / 2)
	skew, ok := webpush.ClockSkew(resp.Header, now)
	if !ok {
		return Finding{}, fmt.Errorf("%s does not say the time: its response %d has no Date header", origin, resp.StatusCode)
	}
	return skewed(c, origin, skew), nil
}

// skewed returns the finding for a difference of the clocks, positive if this
// machine is ahead.
func skewed(c *webpush.Client, origin string, skew time.Duration) Finding {
	f := Finding{Rule: "clock", Source: "RFC 8292 section 2; the Date of " + origin}
	f.Message = webpush.SkewText(skew, "the clock of "+origin)
	switch {
	case skew.Abs() <= time.Second:
		f.Message = "the clock of this machine agrees with the clock of " + origin
		return f
	case skew.Abs() < webpush.MinSkew:
		return f
	}
	f.Severity, f.Hint = SeverityWarning, webpush.SkewHint
	// Where the token starts to be rejected: exp is past, or too far ahead.
	signer := c.Signer()
	if signer == nil {
		return f
	}
	if signer.Filled("").Expiry(time.Now().Add(-skew)) != vapid.ExpiryValid {
		f.Severity = SeverityError
		f.Message += ", so push services reject the token because of its exp"
	}
	return f
}
