package webpush

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// ReadResponse reads and closes the response to a request of
// [Client.NewRequest] that a program sent itself, and returns the result that
// [Client.Send] would return: the receipt, or an [*Error] with the meaning of
// the response (RFC 8030, sections 5 and 8.4). As there, at most 4096 bytes of
// the body are kept, and parts of the endpoint and the token that the response
// repeats are removed. The push service is identified by resp.Request; without
// it, it is [Other].
//
// The program's HTTP client must not follow redirects: it would send the token
// to another server.
func ReadResponse(resp *http.Response) (*Receipt, error) {
	req := resp.Request
	if req == nil || req.URL == nil {
		req = &http.Request{URL: new(url.URL)}
	}
	r, e := understood(req, resp, targetOf(req), new(Message))
	if e != nil {
		return nil, e
	}
	return r, nil
}

// targetOf returns the subscription, without keys, that a request is sent to.
func targetOf(req *http.Request) *Subscription {
	u := *req.URL
	s := &Subscription{service: Other, secret: &hidden{&secrets{endpoint: u.String(), url: u}}}
	s.origin, _ = vapid.Origin(u.Scheme + "://" + u.Host)
	s.service = serviceAt(&u)
	return s
}

// Do sends one request as [Client.Send] sends messages: with the client's HTTP
// and without redirects; the response must be read and closed within Timeout.
// It does not retry. Without a response, the error is an [*Error], or the
// context's if that is done. [ReadResponse] reads what Do returns.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := c.withTimeout(req.Context())
	sent := req.WithContext(ctx)
	resp, err := c.http().Do(sent)
	if err != nil {
		defer cancel()
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		return nil, c.unanswered(ctx, sent, err, targetOf(req))
	}
	if resp.Request == nil {
		resp.Request = sent
	}
	resp.Body = &canceling{resp.Body, cancel}
	return resp, nil
}

// canceling is the body of a response that frees its context when it is closed.
type canceling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *canceling) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
