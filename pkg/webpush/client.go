package webpush

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/pipeline"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Defaults of a [Client].
const (
	DefaultTimeout  = 30 * time.Second // time limit of one attempt
	DefaultAttempts = 4                // one and three retries
	DefaultMaxWait  = 2 * time.Minute  // between two attempts
)

// maxBody is the number of bytes of a response's body that are kept and shown.
const maxBody = 4096

// Doer is the part of [http.Client] that sends.
type Doer interface {
	// Do sends one request, like http.Client.Do.
	Do(*http.Request) (*http.Response, error)
}

// Client sends messages. The zero value sends unsigned ones, which few
// services accept: set Key and Subject. A Client is safe for concurrent use,
// must not be copied, and its fields must not change once it is used. It
// never changes the messages and claims that it is given.
type Client struct {
	// Key signs (RFC 8292); nil sends without Authorization.
	Key *vapid.Key
	// OldKeys are keys that Key has replaced. They sign for subscriptions that
	// were created with them: subscriptions that record their key (see
	// [Subscription.ApplicationServerKey]), and subscriptions for which the
	// push service rejects the current key as not theirs. In the second case,
	// each key is tried once.
	OldKeys []*vapid.Key
	// Subject is the contact that the token names: a mailto: or https: URI.
	Subject string
	// Claims are additional claims, see [vapid.Signer]: an aud in them is
	// replaced by the endpoint's origin, and their Subject is used if the field
	// above is empty.
	Claims vapid.Claims
	// Audience, if not empty, is the aud of every token, regardless of the
	// endpoint. It is meant for testing push services.
	Audience string
	// Lifetime of the tokens; zero means 12 hours.
	Lifetime time.Duration
	// Scheme is the form of the header; zero means the scheme of RFC 8292.
	Scheme vapid.Scheme
	// Lenient also signs claims that some push services overlook; see
	// [vapid.Signer]. Claims that every push service rejects, such as an exp in the
	// past or more than 24 hours ahead, are never signed.
	Lenient bool

	// HTTP sends the requests; nil means a new client from [NewHTTPClient].
	// Redirects are never followed, even if an [http.Client] would follow them:
	// push services do not need them, and they would leak the token.
	HTTP Doer
	// AllowHTTP allows endpoints with plain http; it is always allowed for
	// loopback addresses.
	AllowHTTP bool
	// Timeout is the time limit of one attempt, including the response's body.
	// Zero means 30 seconds, negative means no limit.
	Timeout time.Duration
	// Attempts is the maximum number of attempts for a message, on 408, 429, 5xx,
	// and network failures. Zero means 4; one means no retry.
	Attempts int
	// MaxWait is the longest wait between two attempts; zero means 2 minutes.
	// A service that asks for more with Retry-After is not tried again.
	// Negative allows no wait, and so no retry.
	MaxWait time.Duration
	// OnRetry, if set, is called with each failure before the wait.
	OnRetry func(e *Error, wait time.Duration)

	signers signers
	once    sync.Once
	doer    Doer
}

// NewRequest makes the HTTP request that carries the message (RFC 8030 section
// 5): it encrypts the payload again on each call and signs with a token that is
// cached per origin. The request can be sent only once. The error is an
// [*InputError], an [*ece.TooLongError], a [*vapid.ClaimsError], or an [*Error]
// for an endpoint that must not be sent to.
func (c *Client) NewRequest(ctx context.Context, sub *Subscription, msg Message) (*http.Request, error) {
	key, _ := c.keyFor(sub, &msg)
	req, err := c.newRequest(ctx, sub, &msg, key, nil)
	if err != nil {
		return nil, err
	}
	return req.WithContext(ctx), nil
}

// newRequest is NewRequest with the key that signs, or nil. The request has no
// context; ctx bounds the wait for a token. If shared is not nil, other requests may have
// the same header, so it must not be changed.
func (c *Client) newRequest(ctx context.Context, sub *Subscription, msg *Message, key *vapid.Key, shared *sharedHeader) (*http.Request, error) {
	if err := sub.allowed(c.AllowHTTP); err != nil {
		return nil, err
	}
	ttl, err := msg.check()
	if err != nil {
		return nil, err
	}
	h := ownHeader{ttl: ttl, urgency: msg.Urgency, topic: msg.Topic}
	if sub.service == WNS {
		h.cachePolicy = "cache"
		if ttl == 0 {
			h.cachePolicy = "no-cache"
		}
	}

	var body []byte
	if msg.Payload != nil {
		if err := sub.CheckKeys(); err != nil {
			return nil, err
		}
		m, err := sub.recipient.Encrypt(msg.Payload, msg.EncryptOptions())
		if err != nil {
			return nil, err
		}
		body = m.Body
		h.encoding, h.encryption, h.cryptoKey = m.Encoding, m.Encryption(), m.CryptoKey()
	}
	if key != nil && msg.GCM == nil { // the GCM key replaces the token
		authorization, p256ecdsa, err := c.signers.of(c, key).Headers(ctx, sub.origin)
		if err != nil {
			return nil, err
		}
		h.authorization = authorization
		// One entry, with a semicolon: a comma was misread by push services.
		if h.cryptoKey != "" && p256ecdsa != "" {
			h.cryptoKey += ";"
		}
		h.cryptoKey += p256ecdsa
	}

	req := sub.request(body)
	req.Header = shared.with(h, msg.Header)
	if msg.GCM != nil {
		return msg.GCM.rewrite(req, sub, body, ttl, c.AllowHTTP)
	}
	return req, nil
}

// request makes a request to the endpoint without headers or a context; a nil
// body means no body.
func (s *Subscription) request(body []byte) *http.Request {
	r := &struct { // allocated together
		http.Request
		url  url.URL
		body bytes.Reader
	}{
		Request: http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
		url:     s.secrets().url,
	}
	r.URL, r.Host = &r.url, r.url.Host
	if body != nil {
		r.ContentLength = int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) {
			if len(body) == 0 {
				return http.NoBody, nil
			}
			return io.NopCloser(bytes.NewReader(body)), nil
		}
		r.body.Reset(body)
		r.Body = io.NopCloser(&r.body) // net/http knows that it is in memory, and writes it together with the head
		if len(body) == 0 {
			r.Body = http.NoBody
		}
	}
	return &r.Request
}

// CheckSubscription returns the error for which [Client.NewRequest] refuses a
// subscription regardless of the message, or nil: an [*InputError] for a nil or
// zero subscription, an [*Error] for the endpoint of a removed subscription and
// for plain http that is not allowed.
func (c *Client) CheckSubscription(sub *Subscription) error { return sub.allowed(c.AllowHTTP) }

// allowed refuses endpoints that nothing is sent to.
func (s *Subscription) allowed(allowHTTP bool) error {
	if s == nil || s.origin == "" {
		return badSubscription("subscription", "no subscription to send to", subscriptionHint)
	}
	if s.PermanentlyRemoved() {
		return &Error{Service: s.service, Origin: s.origin, Code: CodeGone, hint: adviceDelete,
			Problem: "the browser has permanently removed this subscription, as its endpoint shows"}
	}
	if !allowHTTP && !s.loopback && strings.HasPrefix(s.origin, "http:") {
		return &Error{Service: s.service, Origin: s.origin, Code: CodeRefused, hint: "push services use https; plain http is only for tests",
			Problem: "the endpoint is plain http and not on this machine"}
	}
	return nil
}

// Ring returns the client's keys, the current one first. It is empty without a
// Key.
func (c *Client) Ring() vapid.Ring {
	if c.Key == nil {
		return nil
	}
	return append(vapid.Ring{c.Key}, c.OldKeys...)
}

// keyFor returns the key that signs a message first, or nil, and whether there is
// no other to try: it is the caller's choice, or the only one.
func (c *Client) keyFor(sub *Subscription, msg *Message) (key *vapid.Key, sure bool) {
	if msg.Key != nil {
		return msg.Key, true
	}
	if len(c.OldKeys) == 0 || sub == nil {
		return c.Key, true
	}
	if recorded, err := sub.ApplicationServerKey(); err == nil && !recorded.IsZero() {
		if key := c.Ring().Find(recorded); key != nil {
			return key, false // the recorded key may be wrong
		}
	}
	return c.Key, false
}

// Signer returns the signer of the client's tokens, or nil without a Key.
func (c *Client) Signer() *vapid.Signer {
	if c.Key == nil {
		return nil
	}
	return c.signers.of(c, c.Key)
}

// maxSigners bounds how many keys a client remembers the tokens of.
const maxSigners = 1024

// signers holds a client's signers: one for each key.
type signers struct {
	last  atomic.Pointer[vapid.Signer] // most clients have one key
	mu    sync.Mutex
	byKey map[vapid.PublicKey]*vapid.Signer
}

func (s *signers) of(c *Client, key *vapid.Key) *vapid.Signer {
	if last := s.last.Load(); last != nil && last.Key == key {
		return last
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.byKey[key.PublicKey()]; found != nil {
		return found
	}
	made := &vapid.Signer{Key: key, Subject: c.Subject, Claims: c.Claims, Audience: c.Audience, Lifetime: c.Lifetime, Scheme: c.Scheme, Lenient: c.Lenient}
	if s.byKey == nil || len(s.byKey) >= maxSigners { // the keys may come from records
		s.byKey = make(map[vapid.PublicKey]*vapid.Signer)
	}
	s.byKey[key.PublicKey()] = made
	s.last.Store(made)
	return made
}

// http returns the Doer that sends, without following redirects.
func (c *Client) http() Doer {
	c.once.Do(func() {
		switch d := c.HTTP.(type) {
		case nil:
			hc, err := NewHTTPClient(TransportOptions{})
			if err != nil {
				panic("webpush: the default transport cannot be made: " + err.Error())
			}
			c.doer = hc
		case *http.Client:
			hc := *d
			hc.CheckRedirect = refuseRedirect
			c.doer = &hc
		default:
			c.doer = d
		}
	})
	return c.doer
}

func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Send delivers the message to the push service of the subscription and returns
// its receipt. Temporary failures ([TemporaryStatuses], the network) are retried after the
// time that the service asks for, or with increasing delays. The error is an
// [*Error] for a failure of the service or the network, the context's error if
// it is done, or an error of [Client.NewRequest].
func (c *Client) Send(ctx context.Context, sub *Subscription, msg Message) (*Receipt, error) {
	key, sure := c.keyFor(sub, &msg)
	var others vapid.Ring
	if !sure {
		others = c.Ring().Others(key)
	}
	for sent := 0; ; {
		r, err := c.sendWith(ctx, sub, &msg, key, &sent)
		if e := (*Error)(nil); len(others) == 0 || !errors.As(err, &e) || !e.otherKey() {
			return r, err
		}
		key, others = others[0], others[1:]
	}
}

// sendWith is Send with one key. It adds the number of requests to sent.
func (c *Client) sendWith(ctx context.Context, sub *Subscription, msg *Message, key *vapid.Key, sent *int) (*Receipt, error) {
	req, err := c.newRequest(ctx, sub, msg, key, nil)
	if err != nil {
		return nil, err
	}
	before := *sent
	var receipt *Receipt
	err = c.retry(ctx, "sending to", sub.origin, func(n int) *Error {
		start := time.Now()
		r, failed := c.try(ctx, c.http(), req, sub, msg)
		*sent = before + n
		if failed != nil {
			failed.Attempts = *sent
			return failed
		}
		r.Attempts, r.Latency = *sent, time.Since(start)
		if key != nil && msg.GCM == nil {
			r.Key = key.PublicKey()
		}
		receipt = r
		return nil
	})
	return receipt, err
}

// retry makes up to [Client.Attempts] attempts, until one succeeds or fails for a
// reason that a wait does not change. attempt gets the number of the attempt, from 1.
// Words such as "sending to" and the origin are for errors of an interruption.
func (c *Client) retry(ctx context.Context, doing, origin string, attempt func(n int) *Error) error {
	var r rules
	r.attempts, r.maxWait = c.patience()
	for n := 1; ; n++ {
		failed := attempt(n)
		if failed == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s %s was interrupted: %w", doing, origin, err)
		}
		if !r.again(n, failed) {
			return failed
		}
		wait := min(backoff(n, failed.RetryAfter), r.maxWait)
		if c.OnRetry != nil {
			c.OnRetry(failed, wait)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %s was interrupted before attempt %d: %w", doing, origin, n+1, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// patience returns how often a message is tried, and the longest wait.
func (c *Client) patience() (attempts int, maxWait time.Duration) {
	attempts, maxWait = c.Attempts, c.MaxWait
	if attempts <= 0 {
		attempts = DefaultAttempts
	}
	if maxWait == 0 {
		maxWait = DefaultMaxWait
	}
	return attempts, maxWait
}

// try sends the request once.
func (c *Client) try(ctx context.Context, doer Doer, req *http.Request, sub *Subscription, msg *Message) (*Receipt, *Error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	req = req.WithContext(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, networkError(sub, err, 0)
		}
		req.Body = body
	}
	resp, err := doer.Do(req)
	return c.understand(ctx, req, resp, err, sub, msg)
}

// timeout returns the time limit of one attempt; negative means none.
func (c *Client) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

// withTimeout bounds one request as Timeout says.
func (c *Client) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := c.timeout()
	if timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// understand reads the result of a request that was sent with the context of an
// attempt.
func (c *Client) understand(ctx context.Context, req *http.Request, resp *http.Response, err error, sub *Subscription, msg *Message) (*Receipt, *Error) {
	if err != nil {
		e := c.unanswered(ctx, req, err, sub)
		if msg.GCM != nil { // sent to another URL
			e.Origin, _ = vapid.Origin(req.URL.Scheme + "://" + req.URL.Host)
		}
		return nil, e
	}
	return understood(req, resp, sub, msg)
}

// unanswered explains why a request that was sent with ctx got no response.
func (c *Client) unanswered(ctx context.Context, req *http.Request, err error, sub *Subscription) *Error {
	timeout := c.timeout()
	if ctx.Err() == nil { // a limit of the caller's own client
		timeout = 0
	}
	e := networkError(sub, err, timeout)
	redact := redactor(sub, req)
	e.Problem = redact.Replace(e.Problem)
	if e.cause != nil {
		if text := redact.Replace(e.cause.Error()); text != e.cause.Error() {
			var permanent *permanentError
			if errors.As(e.cause, &permanent) {
				e.cause = &permanentError{errors.New(text)}
			} else {
				e.cause = errors.New(text)
			}
		}
	}
	return e
}

// understood reads and closes the response to a message.
func understood(req *http.Request, resp *http.Response, sub *Subscription, msg *Message) (*Receipt, *Error) {
	origin := sub.origin
	if msg.GCM != nil { // sent to another URL
		origin, _ = vapid.Origin(req.URL.Scheme + "://" + req.URL.Host)
	}
	defer resp.Body.Close()
	var body []byte
	if resp.Body != http.NoBody {
		// If reading the body fails, the status of the response still counts.
		body, _ = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	}
	if len(body) == maxBody { // let the connection be used again if little is left
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	}
	var e *Error
	if resp.StatusCode/100 == 2 {
		var r *Receipt
		if r, e = receipt(sub, msg, req.Header, resp.StatusCode, resp.Header, body); e == nil {
			return r, nil
		}
	}
	if e == nil || e.Code == CodeOtherServer {
		// Some servers repeat the request in their responses, including its path and
		// token, which must not appear in an error.
		redact := redactor(sub, req)
		e = Explain(sub.service, resp.StatusCode, resp.Header.Clone(), []byte(redact.Replace(string(body))))
		e.Reason = redact.Replace(e.Reason)
		if msg.GCM != nil && e.Gone() && e.Status == http.StatusNotFound {
			e.Code, e.Problem, e.hint = CodeVAPIDMissing, "the legacy GCM service has been shut down, and its 404 says nothing about the subscription", "send with VAPID instead of a GCM key"
		}
		if e.hint == adviceSlow && e.RetryAfter == 0 {
			e.hint = "send more slowly; the service does not say for how long to wait"
		}
	}
	e.Origin = origin
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		if skew, _ := ClockSkew(resp.Header, time.Now()); skew.Abs() >= MinSkew {
			e.Skew = skew
		}
	}
	return nil, e
}

// redactor removes the secrets of a request from a text: the endpoint below its
// origin, in any form in which other software may write it, every part of it
// that may be a token, and the credentials.
func redactor(sub *Subscription, req *http.Request) *strings.Replacer {
	var secrets []string
	add := func(s string) {
		if len(s) < 8 { // too short to be secret, and common in other text
			return
		}
		secrets = append(secrets, s, "…")
		if e := html.EscapeString(s); e != s {
			secrets = append(secrets, e, "…")
		}
	}
	u := sub.secrets().url
	add(sub.Endpoint())
	add(u.RequestURI())
	add(u.Opaque)
	parts := u.Opaque + " " + u.RawPath + " " + u.RawQuery
	u.Opaque, u.RawPath = "", ""
	add(u.RequestURI())
	add(u.EscapedPath())
	add(u.Path)
	for part := range strings.FieldsFuncSeq(parts+" "+u.Path, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	}) {
		if len(part) >= 16 || strings.ContainsAny(part, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") { // no word
			add(part)
		}
	}
	for _, a := range req.Header["Authorization"] {
		add(a)
		for part := range strings.FieldsFuncSeq(a, func(r rune) bool { return r == ' ' || r == ',' || r == '=' }) {
			add(part)
		}
	}
	return strings.NewReplacer(secrets...)
}

// permanentError marks a network failure that a retry cannot fix.
type permanentError struct{ error }

func (p *permanentError) Unwrap() error { return p.error }

// networkError explains why no response arrived. The text of a [url.Error]
// contains the whole endpoint, so only its cause is kept.
func networkError(sub *Subscription, err error, timeout time.Duration) *Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	e := &Error{Service: sub.service, Origin: sub.origin, Code: CodeNetwork, Problem: text.OneLine(err.Error(), 300), cause: err,
		hint: "check the network, and the proxy if there is one"}
	var (
		dns         *net.DNSError
		op          *net.OpError
		unknownCA   x509.UnknownAuthorityError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		private     *privateAddressError
		proxy       *proxyError
		header      *pipeline.HeaderSizeError
	)
	switch {
	case errors.As(err, &private):
		e.Code, e.Problem, e.hint = CodeRefused, private.Error(), "untrusted endpoints can point into a private network"
		e.cause = &permanentError{err}
	case errors.As(err, &proxy):
		e.Problem, e.hint = proxy.Error(), "check the proxy, or connect without one"
		if proxy.status/100 == 4 {
			e.Code, e.cause = CodeRefused, &permanentError{err}
			if proxy.status == http.StatusProxyAuthRequired {
				e.hint = "write its credentials into the proxy's URL: http://user:password@proxy:3128"
			}
		}
	case errors.As(err, &header), strings.HasSuffix(err.Error(), "request header list larger than peer's advertised limit"): // of net/http
		e.Code, e.Problem, e.hint = CodeRejected, "the headers of the message are larger than the service accepts", "omit additional headers and unneeded claims"
		e.cause = &permanentError{err}
	case strings.HasPrefix(err.Error(), "failed to parse Location header"):
		// net/http reads it even where no redirect is followed.
		e.Code, e.Problem, e.hint = CodeRedirect, "the endpoint redirects to an invalid URL", adviceRedirect
		e.cause = nil // contains the URL
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		e.Problem, e.hint = "no connection was made in time", "check the network and its firewall, or try again later"
	case errors.Is(err, context.DeadlineExceeded):
		e.Problem, e.hint = "the request timed out", "allow more time, or try again later"
		if timeout > 0 {
			e.Problem = fmt.Sprintf("the request took longer than %v", timeout)
		}
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Problem, e.hint = fmt.Sprintf("the host %s does not exist", dns.Name), "check the endpoint; a host that stays away for weeks will not come back"
		e.cause = &permanentError{err}
	case errors.As(err, &unknownCA):
		e.Problem, e.hint = "the certificate is signed by an authority that is not trusted here", "trust the CA that signed it, if it is yours"
		e.cause = &permanentError{err}
	case errors.As(err, &certificate):
		e.Problem, e.hint = "the certificate is not valid: "+text.OneLine(certificate.Err.Error(), 200), "check the endpoint's host and the clock of this machine"
		e.cause = &permanentError{err}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		e.Problem, e.hint = "it does not speak TLS", "use http:// for a service without TLS on this machine"
		e.cause = &permanentError{err}
	case errors.As(err, &op) && op.Op == "dial":
		e.Problem = text.OneLine(op.Err.Error(), 200)
		if sub.loopback && errors.Is(err, syscall.ECONNREFUSED) {
			e.hint = "start the push service of this subscription; if it listens at another port now, subscribe again"
		}
		if errors.As(op.Err, &dns) {
			e.Problem = "the host " + dns.Name + " could not be looked up: " + dns.Err
		}
	case errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect"): // the proxy failed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		e.Problem = "the connection was closed before a response arrived" // perhaps the proxy closed it
	}
	return e
}
