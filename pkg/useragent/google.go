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
)

// The addresses of Google's services for Chromium.
const (
	checkinURL  = "https://android.clients.google.com/checkin"
	registerURL = "https://android.clients.google.com/c2dm/register3"
	mcsName     = "mtalk.google.com"
	fcmEndpoint = "https://fcm.googleapis.com/fcm/send/"
)

const (
	// chromiumVersion is the version of Chromium whose protocol this implements.
	chromiumVersion = "156.0.0.0"
	chromiumMajor   = "156"
	// chromiumApp is the application that is registered, as in Chromium on Linux.
	chromiumApp = "org.chromium.linux"
	// chromiumOrigin is the origin of the subscriptions; Google can see it.
	chromiumOrigin = "https://webpush.invalid/"
	// userAgent is the User-Agent of HTTP requests over Chromium's channel.
	userAgent = "webpush (+https://github.com/seed81da77dd/webpush)"
	// maxToken is the maximum size of an endpoint's token, in bytes.
	maxToken = 1000
	// checkinInterval is the interval between check-ins of a device.
	checkinInterval = 48 * time.Hour
)

// phoneRegistrationWaits are the waits before the retries of a registration that
// was refused with PHONE_REGISTRATION_ERROR: for some seconds after its first
// check-in, a device is not known everywhere.
var phoneRegistrationWaits = []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}

// finalCodes are the codes of refused registrations that a retry cannot change.
var finalCodes = []string{"INVALID_SENDER", "INVALID_PARAMETERS", "QUOTA_EXCEEDED", "TOO_MANY_REGISTRATIONS", "INVALID_TARGET_VERSION"}

// android is a device as Google knows it. Its ID and token are secrets: anyone who
// has them can receive its messages.
type android struct {
	ID      uint64
	Token   uint64
	Checkin time.Time
}

func (a android) known() bool { return a.ID != 0 && a.Token != 0 }

// google makes the requests and connections of a device.
type google struct {
	origin string   // the push service's, for errors
	mcs    []string // host:port, in order of preference
	http   doer
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	tls    *tls.Config
	notify func(Event)
}

// newGoogle returns a client of Google, or for the scheme chromium of the host of
// base.
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
			return nil, errors.New("found no certificate in the PEM of the certificate authorities")
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
		DisableKeepAlives:   true, // requests are days apart
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
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("no response within %v", callTimeout))
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
	response, err := g.http.Do(r)
	if err != nil {
		return 0, nil, fail(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, mcs.MaxFrame+1))
	switch {
	case err != nil:
		return 0, nil, fail(err)
	case len(b) > mcs.MaxFrame:
		return 0, nil, misread(op, g.origin, "the response has more than %d bytes", mcs.MaxFrame)
	}
	return response.StatusCode, b, nil
}

// checkin registers a new device, or confirms a known one. The error for a device
// that the service has forgotten is Gone.
func (g *google) checkin(ctx context.Context, d android) (android, error) {
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
	response, err := mcs.ParseCheckinResponse(b)
	got := android{response.AndroidID, response.SecurityToken, time.Now()}
	switch {
	case err != nil:
		return d, misread(op, g.origin, "the response is not a push service's: %w", err)
	case !got.known():
		return d, misread(op, g.origin, "the response has no id and token")
	case d.known() && (got.ID != d.ID || got.Token != d.Token):
		return d, forgotten
	}
	return got, nil
}

// RegistrationError is a registration that Chromium's push service has refused.
type RegistrationError struct {
	// Service is the origin of the push service.
	Service string
	// Code is the code in the response, for example INVALID_SENDER: the application
	// server key is not acceptable.
	Code string
}

// Error returns the code.
func (e *RegistrationError) Error() string { return "the push service refused it with " + e.Code }

// call sends the form that begins or ends a registration, and returns the token
// in the response.
func (g *google) call(ctx context.Context, op string, d android, form url.Values) (string, error) {
	id, token := decimal(d.ID), decimal(d.Token)
	form.Set("app", chromiumApp)
	form.Set("device", id)
	form.Set("gmsv", chromiumMajor)
	status, b, err := g.post(ctx, op, registerURL, "application/x-www-form-urlencoded", "AidLogin "+id+":"+token, []byte(form.Encode()))
	if err != nil {
		return "", err
	}
	// The order is Chromium's: an error can come with any status.
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
		return "", misread(op, g.origin, "the response has no token")
	}
	return strings.TrimSpace(token), nil
}

// register registers a subscription and returns its endpoint. It retries while
// the push service does not know a new device everywhere.
func (g *google) register(ctx context.Context, d android, r Registration) (endpoint string, err error) {
	const op = "subscribing"
	for attempt := 0; ; attempt++ {
		token, err := g.call(ctx, op, d, url.Values{
			"X-subtype": {r.id}, "scope": {"GCM"}, "X-scope": {"GCM"}, "appid": {r.instance}, "sender": {r.key.String()},
		})
		refused := (*RegistrationError)(nil)
		switch {
		case err == nil && !isToken(token):
			return "", misread(op, g.origin, "the response has no valid token")
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
func (g *google) unregister(ctx context.Context, d android, r Registration) error {
	_, err := g.call(ctx, "unsubscribing", d, url.Values{
		"X-subtype": {r.id}, "scope": {"*"}, "X-scope": {"*"}, "appid": {r.instance}, "sender": {"*"}, "delete": {"true"},
	})
	return err
}

// connect makes a TLS connection to MCS at the first address that is reachable.
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

// newSubtype generates the name of a subscription at its push service, in the form
// that Chromium uses for a page.
func newSubtype() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := strings.ToUpper(hex.EncodeToString(b[:]))
	return "wp:" + chromiumOrigin + "#" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:29] + "-V2"
}

// newInstance generates an instance ID: 8 bytes that start with the bits 0111.
func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x0f | 0x70
	return b64.Encode(b[:])
}

// isToken reports whether s can be used unescaped in the path of an endpoint.
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_:.~%") == ""
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
