package useragent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// The addresses of Google's services for Chromium.
const (
	checkinURL  = "https://android.clients.google.com/checkin"
	registerURL = "https://android.clients.google.com/c2dm/register3"
	mcsName     = "mtalk.google.com"
	fcmEndpoint = "https://fcm.googleapis.com/fcm/send/"
)

const (
	// chromiumVersion is the version of Chromium whose protocol this is.
	chromiumVersion = "156.0.0.0"
	chromiumMajor   = "156"
	// chromiumApp is the application that is registered, as in Chromium on Linux.
	chromiumApp = "org.chromium.linux"
	// chromiumOrigin is the origin of the subscriptions, which Google may see.
	chromiumOrigin = "https://webpush.invalid/"
	// userAgent is the User-Agent of the HTTP requests for Chromium's channel.
	userAgent = "webpush (+https://github.com/seed81da77dd/webpush)"
	// maxToken is the size of the longest token of an endpoint, in bytes.
	maxToken = 1000
	// checkinInterval is how often a device checks in again.
	checkinInterval = 48 * time.Hour
)

// phoneRegistrationWaits are the waits before a registration is tried again that
// was refused with PHONE_REGISTRATION_ERROR: for some seconds after its first
// check-in a device is not known everywhere.
var phoneRegistrationWaits = []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}

// finalCodes are the codes of a refused registration that another attempt does
// not change.
var finalCodes = []string{"INVALID_SENDER", "INVALID_PARAMETERS", "QUOTA_EXCEEDED", "TOO_MANY_REGISTRATIONS", "INVALID_TARGET_VERSION"}

// device is a device as Google knows it. Its id and token are secrets: anyone
// who has them can receive its messages.
type device struct {
	ID      uint64
	Token   uint64
	Checkin time.Time
}

func (d device) known() bool { return d.ID != 0 && d.Token != 0 }

// google makes the requests of a device, and its connections.
type google struct {
	origin string   // of the push service, for errors
	mcs    []string // host:port, in the order in which they are tried
	http   doer
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	tls    *tls.Config
	notify func(Event)
}

// newGoogle connects to Google, or for the scheme chromium to the host of base.
func newGoogle(base *url.URL, o Options) (*google, error) {
	g := &google{
		origin: serverOrigin(base),
		mcs:    []string{mcsName + ":5228", mcsName + ":443"},
		dial:   o.dial,
		tls:    &tls.Config{ServerName: mcsName, MinVersion: tls.VersionTLS12},
		notify: o.notify,
	}
	if len(o.CAs) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CAs) {
			return nil, errors.New("found no certificate in the PEM of the authorities")
		}
		g.tls.RootCAs = pool
	}
	if g.dial == nil {
		g.dial = (&net.Dialer{}).DialContext
	}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         g.dial,
		TLSClientConfig:     &tls.Config{RootCAs: g.tls.RootCAs, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: connectTimeout,
		DisableKeepAlives:   true, // a request in two days
	}
	if base.Scheme == chromiumScheme {
		g.mcs = []string{base.Host}
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return g.dial(ctx, network, base.Host) }
	}
	g.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return g, nil
}

// post sends a request and returns the status and the body, of at most
// mcs.MaxFrame bytes.
func (g *google) post(ctx context.Context, op, target, contentType, authorization string, body []byte) (int, []byte, error) {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("no answer within %v", callTimeout))
	defer cancel()
	fail := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return failed(caller, op, g.origin, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, misread(op, g.origin, "%w", bare(err))
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", userAgent)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := g.http.Do(r)
	if err != nil {
		return 0, nil, fail(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, mcs.MaxFrame+1))
	switch {
	case err != nil:
		return 0, nil, fail(err)
	case len(b) > mcs.MaxFrame:
		return 0, nil, misread(op, g.origin, "the answer has more than %d bytes", mcs.MaxFrame)
	}
	return answer.StatusCode, b, nil
}

// checkin makes a device known, or confirms it. The error of a device that the
// service has forgotten is Gone.
func (g *google) checkin(ctx context.Context, d device) (device, error) {
	const op = "checking in"
	request := mcs.CheckinRequest{AndroidID: d.ID, SecurityToken: d.Token, ChromeVersion: chromiumVersion}
	status, b, err := g.post(ctx, op, checkinURL, "application/x-protobuf", "", request.Append(nil))
	if err != nil {
		return d, err
	}
	forgotten := &Error{Op: op, Service: g.origin, Status: http.StatusGone, Reason: "the push service no longer knows this device"}
	switch {
	case d.known() && (status == http.StatusBadRequest || status == http.StatusUnauthorized):
		return d, forgotten
	case status != http.StatusOK:
		return d, &Error{Op: op, Service: g.origin, Status: status, handshake: true}
	}
	answer, err := mcs.ParseCheckinResponse(b)
	got := device{answer.AndroidID, answer.SecurityToken, time.Now()}
	switch {
	case err != nil:
		return d, misread(op, g.origin, "the answer is not a push service's: %w", err)
	case !got.known():
		return d, misread(op, g.origin, "the answer has no id and token")
	case d.known() && (got.ID != d.ID || got.Token != d.Token):
		return d, forgotten
	}
	return got, nil
}

// RegistrationError is a registration that Chromium's push service has refused,
// with the code of its answer.
type RegistrationError struct {
	// Service is the origin of the push service.
	Service string
	// Code is such as INVALID_SENDER: the application server key is not acceptable.
	Code string
}

// Error is the code.
func (e *RegistrationError) Error() string { return "the push service refused it with " + e.Code }

// call sends the form of a registration, or of its end, and returns the token
// in the answer.
func (g *google) call(ctx context.Context, op string, d device, form url.Values) (string, error) {
	id, token := decimal(d.ID), decimal(d.Token)
	form.Set("app", chromiumApp)
	form.Set("device", id)
	form.Set("gmsv", chromiumMajor)
	status, b, err := g.post(ctx, op, registerURL, "application/x-www-form-urlencoded", "AidLogin "+id+":"+token, []byte(form.Encode()))
	if err != nil {
		return "", err
	}
	// The order is that of Chromium: an error can come with any status.
	if _, code, found := strings.Cut(string(b), "Error="); found {
		code, _, _ = strings.Cut(code, "\n")
		code = clip(strings.TrimSpace(code))
		return "", &Error{Op: op, Service: g.origin, Err: &RegistrationError{g.origin, code}, fatal: slices.Contains(finalCodes, code)}
	}
	if status != http.StatusOK {
		return "", &Error{Op: op, Service: g.origin, Status: status, handshake: true}
	}
	_, token, found := strings.Cut(string(b), "token=")
	if !found && !strings.Contains(string(b), "deleted=") {
		return "", misread(op, g.origin, "the answer has no token")
	}
	return strings.TrimSpace(token), nil
}

// register registers a subscription and returns its endpoint. It tries again
// while a new device is not known everywhere.
func (g *google) register(ctx context.Context, d device, r registration, key vapid.PublicKey) (endpoint string, err error) {
	const op = "subscribing"
	for attempt := 0; ; attempt++ {
		token, err := g.call(ctx, op, d, url.Values{
			"X-subtype": {r.id}, "scope": {"GCM"}, "X-scope": {"GCM"}, "appid": {r.instance}, "sender": {key.String()},
		})
		refused := (*RegistrationError)(nil)
		switch {
		case err == nil && !isToken(token):
			return "", misread(op, g.origin, "the answer has no valid token")
		case err == nil:
			return fcmEndpoint + token, nil
		case !errors.As(err, &refused) || refused.Code != "PHONE_REGISTRATION_ERROR" || attempt == len(phoneRegistrationWaits):
			return "", err
		}
		wait := phoneRegistrationWaits[attempt]
		g.notify(Event{Err: err, Retry: wait})
		if pause(ctx, wait) != nil {
			return "", failed(ctx, op, g.origin, ended(ctx, err))
		}
	}
}

// unregister ends a subscription.
func (g *google) unregister(ctx context.Context, d device, r registration) error {
	_, err := g.call(ctx, "unsubscribing", d, url.Values{
		"X-subtype": {r.id}, "scope": {"*"}, "X-scope": {"*"}, "appid": {r.instance}, "sender": {"*"}, "delete": {"true"},
	})
	return err
}

// connect makes a TLS connection to MCS at the first address that answers.
func (g *google) connect(ctx context.Context) (conn *tls.Conn, err error) {
	for _, addr := range g.mcs {
		var plain net.Conn
		if plain, err = g.dial(ctx, "tcp", addr); err == nil {
			conn = tls.Client(plain, g.tls)
			if err = conn.HandshakeContext(ctx); err == nil {
				return conn, nil
			}
			_ = plain.Close()
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// newSubtype makes the name of a subscription at its push service, as Chromium
// does for a page's.
func newSubtype() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := strings.ToUpper(hex.EncodeToString(b[:]))
	return "wp:" + chromiumOrigin + "#" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:29] + "-V2"
}

// newInstance makes an instance id: 8 bytes, of which the first 4 bits are 0111.
func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[0] = b[0]&0x0f | 0x70
	return b64.Encode(b[:])
}

// isToken reports whether s can be part of an endpoint's path as it is.
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_:.~%") == ""
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
