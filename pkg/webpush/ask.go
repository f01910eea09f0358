package webpush

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// CheckClock compares this machine's clock with the Date header of the server
// at the URL, which it asks with HEAD; no redirect is followed, whatever the
// server's answer is. A difference of a minute or more is a finding that
// matters: push services compare exp with their own clocks.
func (c *Client) CheckClock(ctx context.Context, url string) (Finding, error) {
	if _, err := vapid.Origin(url); err != nil {
		return Finding{}, &InputError{Part: "ask-time", Problem: fmt.Sprintf("%q is no http or https URL", oneLine(url, 80)), hint: "give a web server, such as https://www.example.com"}
	}
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return Finding{}, &InputError{Part: "ask-time", Problem: fmt.Sprintf("%q is no http or https URL", oneLine(url, 80))}
	}
	origin, _ := vapid.Origin(url)
	start := time.Now()
	resp, err := c.http().Do(req)
	if err != nil {
		return Finding{}, networkError(&Subscription{service: Other, origin: origin}, err, 0)
	}
	resp.Body.Close()
	now := start.Add(time.Since(start) / 2)
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return Finding{}, fmt.Errorf("%s says no time: its answer %d has no Date header", origin, resp.StatusCode)
	}
	// What comes from a cache is as old as it says (RFC 9111 section 5.1).
	if age, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31); err == nil {
		date = date.Add(time.Duration(age) * time.Second)
	}
	date = date.Add(time.Second / 2) // it has no fraction
	skew := now.Sub(date).Round(time.Second)
	f := Finding{Rule: "clock", Source: "RFC 8292 section 2; the Date of " + origin}
	how := "ahead of"
	if skew < 0 {
		how = "behind"
	}
	switch {
	case skew.Abs() <= time.Second:
		f.Message = "the clock of this machine agrees with that of " + origin
	case skew.Abs() < time.Minute:
		f.Message = fmt.Sprintf("the clock of this machine is %v %s that of %s", skew.Abs(), how, origin)
	default:
		f.Severity, f.Fix = SeverityWarning, "set the clock of this machine right"
		f.Message = fmt.Sprintf("the clock of this machine is %v %s that of %s", skew.Abs(), how, origin)
		// Where the token starts to be refused: exp is past, or too far ahead.
		lifetime := c.Lifetime
		if lifetime == 0 {
			lifetime = vapid.DefaultLifetime
		}
		if !c.Claims.Expires.IsZero() {
			lifetime = time.Until(c.Claims.Expires)
		}
		if left := lifetime + skew; c.Key != nil && (left <= 0 || left > vapid.MaxLifetime) {
			f.Severity = SeverityError
			f.Message += ", so that a push service refuses the token by its exp"
		}
	}
	return f, nil
}

// CheckOnline asks the push service whether it would accept a message for the
// subscription, in a way that delivers none, where there is such a way:
//
//   - Mozilla: a signed POST without TTL and without body. RFC 8030 section 5.2
//     has it refused with 400; autopush first looks at the endpoint, the key,
//     the user agent and the token, so that another answer shows what is wrong
//     with those.
//   - UnifiedPush: a GET, by which a server says that it speaks the protocol.
//     It does not tell whether the app is still subscribed.
//
// For all others nothing is sent, and the finding says so.
func (c *Client) CheckOnline(ctx context.Context, sub *Subscription) (Finding, error) {
	if err := sub.allowed(c.AllowHTTP); err != nil {
		return Finding{}, err
	}
	f := Finding{Rule: "online", Services: []Service{sub.service}}
	switch sub.service {
	case Mozilla:
		f.Source = sourceTTL + "; " + sourceAutopush
		req := sub.request(nil)
		req.Header = http.Header{}
		if c.Key != nil {
			t, err := c.token(sub, c.Key)
			if err != nil {
				return Finding{}, err
			}
			req.Header["Authorization"] = []string{t.authorization}
			if t.cryptoKey != "" {
				req.Header["Crypto-Key"] = []string{t.cryptoKey}
			}
		}
		_, e := c.try(ctx, c.http(), req, sub, &Message{})
		switch {
		case ctx.Err() != nil:
			return Finding{}, ctx.Err()
		case e == nil:
			f.Severity, f.Message = SeverityWarning, "Mozilla accepted a push without TTL, against RFC 8030: the user agent gets a push without payload"
		case e.Status == http.StatusBadRequest && e.Code == CodeTTL:
			f.Message = "Mozilla knows the subscription and accepts the key and the token"
			if c.Key == nil {
				f.Message = "Mozilla knows the subscription and accepts an unsigned push for it"
			}
		default:
			f.failed(e)
		}
	case UnifiedPush:
		f.Source = sourceUnifiedPush
		if err := c.discover(ctx, sub, &f); err != nil {
			return Finding{}, err
		}
	default:
		name := sub.service.String()
		f.Source = "no such way is known"
		f.Message = fmt.Sprintf("%s was not asked: no request to it is known that tells about a subscription and delivers nothing", name)
		f.Fix = "webpush send --ttl 0 tells, and shows what is sent"
	}
	return f, nil
}

// failed makes a finding of an answer.
func (f *Finding) failed(e *Error) {
	f.Severity, f.Message, f.Fix, f.Err = SeverityError, e.Error(), e.Hint(), e
	if e.Temporary() {
		f.Severity = SeverityWarning
	}
}

// discover asks a server whether it speaks UnifiedPush.
func (c *Client) discover(ctx context.Context, sub *Subscription, f *Finding) error {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	req := sub.request(nil).WithContext(ctx)
	req.Method = http.MethodGet
	resp, err := c.http().Do(req)
	if err != nil {
		if ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
			return ctx.Err()
		}
		e := networkError(sub, err, 0)
		e.Meaning = redactor(sub, req).Replace(e.Meaning)
		f.failed(e)
		return nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	var answer struct {
		UnifiedPush struct {
			Version int `json:"version"`
		} `json:"unifiedpush"`
	}
	switch {
	case json.Unmarshal(body, &answer) == nil && answer.UnifiedPush.Version > 0:
		f.Message = "the server speaks UnifiedPush; it does not tell whether the app is still subscribed"
	case resp.StatusCode/100 == 2:
		f.Severity, f.Message, f.Fix = SeverityWarning, "the server does not say that it speaks UnifiedPush", "take the endpoint from the app again"
	default:
		e := Explain(sub.service, resp.StatusCode, resp.Header, []byte(redactor(sub, req).Replace(string(body))))
		e.Origin = sub.origin
		f.failed(e)
	}
	return nil
}
