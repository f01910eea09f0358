package preflight

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Online asks the push service whether it would accept a message for the
// subscription, if the push service allows this without delivering one:
//
//   - Autopush, Mozilla's and others': a signed POST without TTL and body. RFC
//     8030 section 5.2 has it rejected with 400; autopush first checks the
//     endpoint, the key, the user agent, and the token, so any other response
//     reports a problem with those.
//   - UnifiedPush: a GET, which a server answers by saying that it speaks the
//     protocol. It does not say whether the app is still subscribed.
//
// Nothing is sent to other push services, and the finding says so. The error is
// one of [webpush.Client.NewRequest], or the context's.
func Online(ctx context.Context, c *webpush.Client, sub *webpush.Subscription) (Finding, error) {
	if err := c.CheckSubscription(sub); err != nil {
		return Finding{}, err
	}
	f := Finding{Rule: "online", Services: []webpush.Service{sub.Service()}}
	var err error
	switch name := sub.Service().String(); {
	case sub.Service() == webpush.Mozilla, strings.HasPrefix(sub.Path(), "/wpush/v") && strings.Contains(sub.Path(), "/gAAAAA"):
		f.Source = sourceTTL + "; " + sourceAutopush
		err = f.autopush(ctx, c, sub)
	case sub.Service() == webpush.UnifiedPush:
		f.Source = sourceUnifiedPush
		err = f.unifiedPush(ctx, c, sub)
	default:
		f.Source = "RFC 8030 has no such request"
		f.Message = fmt.Sprintf("%s was not asked: it offers no way to check a subscription without delivering a message", name)
		f.Hint = "send a message with a TTL of 0: only its response shows the state"
	}
	if ctx.Err() != nil {
		return Finding{}, ctx.Err()
	}
	return f, err
}

// autopush sends a push that autopush must reject last of all.
func (f *Finding) autopush(ctx context.Context, c *webpush.Client, sub *webpush.Subscription) error {
	req, err := c.NewRequest(ctx, sub, webpush.Message{})
	if err != nil {
		return err
	}
	req.Header.Del("Ttl")
	name := sub.Service().String()
	_, err = f.ask(c, req)
	e := (*webpush.Error)(nil)
	switch errors.As(err, &e); {
	case err == nil:
		f.Severity, f.Message = SeverityWarning, name+" accepted a push without TTL, against RFC 8030: the user agent receives a message without payload"
	case e == nil:
		return err
	case e.Status == http.StatusBadRequest && e.Code == webpush.CodeTTL:
		f.Message = name + " knows the subscription and accepts the key and the token"
		if c.Key == nil {
			f.Message = name + " knows the subscription and accepts an unsigned message for it"
		}
	default:
		f.failed(e)
	}
	return nil
}

// ask sends a request and reads its response.
func (f *Finding) ask(c *webpush.Client, req *http.Request) (*webpush.Receipt, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	return webpush.ReadResponse(resp)
}

// failed makes a finding of an error.
func (f *Finding) failed(e *webpush.Error) {
	f.Severity, f.Message, f.Hint, f.Err = SeverityError, e.Error(), e.Hint(), e
	if e.Temporary() {
		f.Severity = SeverityWarning
	}
}

// unifiedPush asks a server whether it speaks UnifiedPush.
func (f *Finding) unifiedPush(ctx context.Context, c *webpush.Client, sub *webpush.Subscription) error {
	req, err := c.NewRequest(ctx, sub, webpush.Message{})
	if err != nil {
		return err
	}
	req.Method, req.Header = http.MethodGet, http.Header{}
	resp, err := c.Do(req)
	e := (*webpush.Error)(nil)
	switch errors.As(err, &e); {
	case err == nil:
	case e == nil:
		return err
	default:
		f.failed(e)
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		if _, err := webpush.ReadResponse(resp); errors.As(err, &e) {
			f.failed(e)
		}
		return nil
	}
	var body struct {
		UnifiedPush struct {
			Version int `json:"version"`
		} `json:"unifiedpush"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&body) == nil && body.UnifiedPush.Version > 0 {
		f.Message = "the server speaks UnifiedPush; it does not say whether the app is still subscribed"
		return nil
	}
	f.Severity, f.Message, f.Hint = SeverityWarning, "the server does not say that it speaks UnifiedPush", "get the endpoint from the app again"
	return nil
}
