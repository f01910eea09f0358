package pushservice

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
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

// The paths of Chromium's check-in and registration, as at Google.
const (
	checkinPath  = "/checkin"
	registerPath = "/c2dm/register3"
)

// chromiumHosts are the hosts of the endpoints that Chromium reports: in the stable
// channel, and in other channels.
var chromiumHosts = []string{"fcm.googleapis.com", "jmt17.google.com"}

// ChromiumHosts returns the hosts of the endpoints that Chromium reports.
func ChromiumHosts() []string { return slices.Clone(chromiumHosts) }

type chromiumOriginKey struct{}

// chromiumOrigin returns the origin of the endpoint if r was received by
// [Service.ServeChromium], or "".
func chromiumOrigin(r *http.Request) string {
	origin, _ := r.Context().Value(chromiumOriginKey{}).(string)
	return origin
}

// ServeChromium handles the HTTP requests to the hosts of Google that the service
// stands in for: messages to the endpoints that Chromium reports, whose hosts are
// the [ChromiumHosts] and whose origin is the expected aud; and check-in and
// registration, which it also accepts under the service's own host names. All other
// requests are refused. It is for a TLS listener that clients are made to connect
// to instead of these hosts; no other listener accepts their names. See
// [ChromiumServer].
func (s *Service) ServeChromium(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(strings.TrimSuffix(r.Host, ":443"))
	device := r.URL.Path == checkinPath || r.URL.Path == registerPath
	switch {
	case slices.Contains(chromiumHosts, host):
		s.serveChromiumEndpoint(w, r, "https://"+host)
	case device && host == checkinHost:
		if err := s.route(w, r); err != nil {
			writeError(w, err)
		}
	case device:
		s.ServeHTTP(w, r)
	default:
		writeError(w, refuse(http.StatusMisdirectedRequest, noErrno, "Unknown host", "%q is not a host of Chromium's endpoints", clip(r.Host)))
	}
}

func (s *Service) serveChromiumEndpoint(w http.ResponseWriter, r *http.Request, origin string) {
	r = r.Clone(context.WithValue(r.Context(), chromiumOriginKey{}, origin))
	for _, prefix := range []string{"/fcm/send/", "/wp/", "/preprod/wp/"} {
		if token, ok := strings.CutPrefix(r.URL.Path, prefix); ok && token != "" && !strings.Contains(token, "/") {
			r.URL.Path, r.URL.RawPath = chromiumPath+token, ""
			s.servePush(w, r, strings.Split(r.URL.Path[1:], "/"))
			return
		}
	}
	if strings.HasPrefix(r.URL.Path, "/m/") || strings.HasPrefix(r.URL.Path, "/r/") {
		s.ServeHTTP(w, r)
		return
	}
	writeError(w, notFound("Invalid path", "%q is not a path of Chromium's endpoints", clip(r.URL.Path)))
}

// chromiumPath begins the paths of Chromium's subscriptions in the store. In its
// endpoints, Chromium replaces it depending on its channel and features.
const chromiumPath = "/fcm/send/"

// chromiumTokenSize is the number of random bytes in a token. It makes tokens as
// long as FCM's, 152 characters.
const chromiumTokenSize = 100

// serveCheckin gives a device an ID and a token, or confirms the ones that it has.
// They are not stored before the first registration. The store identifies a device
// by both together, so an ID with another token is another device.
func (s *Service) serveCheckin(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return notAllowed(r, http.MethodPost)
	}
	b, err := readAll(w, r, mcs.MaxFrame)
	if err != nil {
		return badRequest("Invalid body", "the check-in cannot be read: %v", err)
	}
	request, err := mcs.ParseCheckinRequest(b)
	if err != nil {
		return badRequest("Invalid body", "the check-in cannot be read: %v", err)
	}
	if s.faulty(w, r, OnCheckin, nil) {
		return nil
	}
	response := mcs.CheckinResponse{AndroidID: request.AndroidID, SecurityToken: request.SecurityToken, TimeMsec: uint64(time.Now().UnixMilli())}
	if response.AndroidID == 0 || response.SecurityToken == 0 {
		// Chromium stores the ID as a signed number.
		response.AndroidID, response.SecurityToken = randomUint64()>>1|1, randomUint64()|1
	}
	s.logger.Info("check-in", "new", request.AndroidID == 0, "version", clip(request.ChromeVersion))
	w.Header().Set("Content-Type", "application/x-protobuf")
	// Writing fails if the client has disconnected.
	_, _ = w.Write(response.Append(nil))
	return nil
}

func randomUint64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// deviceID returns the ID of a device in the store, or "" if id or token is not
// valid.
func deviceID(id, token string) string {
	n, err := strconv.ParseUint(id, 10, 64)
	t, tokenErr := strconv.ParseUint(token, 10, 64)
	if err != nil || tokenErr != nil || n == 0 || t == 0 {
		return ""
	}
	return "gcm-" + strconv.FormatUint(n, 10) + "-" + strconv.FormatUint(t, 10)
}

// deviceChannel returns the Channel of a registration in the store.
func deviceChannel(app, subtype string) string { return app + " " + subtype }

// registration is a request to register or unregister a subscription of a device.
type registration struct {
	device       string // ID in the store
	id           string // the device's own
	app, subtype string
	sender       string // the application server key, base64url
	instance     string
	unregister   bool
}

// registerError is a code of Google's registration, with the reason for the log.
type registerError struct{ code, reason string }

func (e *registerError) Error() string { return e.code + ": " + e.reason }

// serveRegister registers a subscription of a device, or unregisters it. The response
// has the status 200 in any case that Google has a code for.
func (s *Service) serveRegister(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return notAllowed(r, http.MethodPost)
	}
	b, err := readAll(w, r, maxFrame)
	if err != nil {
		return badRequest("Invalid body", "the registration cannot be read: %v", err)
	}
	respond := func(text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		// Writing fails if the client has disconnected.
		_, _ = io.WriteString(w, text)
	}
	reg, err := parseRegistration(r.Header.Get("Authorization"), string(b))
	token := ""
	if err == nil {
		on := OnRegistration
		if reg.unregister {
			on = OnUnregistration
		}
		// Chromium's own registration never fails.
		if reg.subtype != "" && s.faulty(w, r, on, func(f *Fault) {
			if f.Status != 0 {
				w.WriteHeader(f.Status)
			}
			respond("Error=" + f.Error)
		}) {
			return nil
		}
		token, err = s.register(reg)
	}
	if refused := (*registerError)(nil); errors.As(err, &refused) {
		s.logger.Warn("registration refused", "code", refused.code, "reason", refused.reason)
		respond("Error=" + refused.code)
		return nil
	}
	respond("token=" + token)
	return nil
}

// parseRegistration reads the form and the device in the Authorization header. The
// error is of type [*registerError].
func parseRegistration(authorization, body string) (reg registration, err error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return reg, &registerError{"INVALID_PARAMETERS", "the form is malformed"}
	}
	login, ok := strings.CutPrefix(authorization, "AidLogin ")
	id, token, _ := strings.Cut(login, ":")
	device := deviceID(id, token)
	if !ok || device == "" {
		return reg, &registerError{"AUTHENTICATION_FAILED", "the Authorization header has no ID and token"}
	}
	reg = registration{device, id, form.Get("app"), form.Get("X-subtype"), form.Get("sender"), form.Get("appid"), form.Get("delete") == "true"}
	switch {
	case reg.app == "" || strings.ContainsAny(reg.app, " \r\n") || len(reg.app) > 200 || len(reg.subtype) > 2000 || len(reg.instance) > 100:
		return reg, &registerError{"INVALID_PARAMETERS", "app, X-subtype, or appid is not valid"}
	case reg.instance == "": // an instance ID has 8 bytes and begins with the bits 0111
		b := make([]byte, 8)
		rand.Read(b)
		b[0] = b[0]&0x0f | 0x70
		reg.instance = b64.Encode(b)
	case strings.Trim(reg.instance, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "":
		return reg, &registerError{"INVALID_PARAMETERS", "appid is not base64url"}
	}
	return reg, nil
}

// register returns the token of a registration: the end of the endpoint's path, or
// the instance ID when it has ended. The error is of type [*registerError].
func (s *Service) register(reg registration) (token string, err error) {
	if reg.unregister {
		if err := s.store.unregisterDevice(reg.device, deviceChannel(reg.app, reg.subtype)); err != nil {
			return "", &registerError{"INTERNAL_SERVER_ERROR", err.Error()}
		}
		s.logger.Info("unregister", "device", short(reg.id))
		return reg.instance, nil
	}
	token = reg.instance + ":APA91b" + random(chromiumTokenSize)
	if reg.subtype == "" { // Chromium's own, which never receives a message
		return token, nil
	}
	var key vapid.PublicKey
	raw, err := b64.Decode(reg.sender)
	if err == nil {
		key, err = parseKey(raw)
	}
	if err != nil {
		return "", &registerError{"INVALID_SENDER", err.Error()}
	}
	sub, err := s.store.registerDevice(reg.device, Subscription{ID: random(idSize), Path: chromiumPath + token, Key: key, Channel: deviceChannel(reg.app, reg.subtype)})
	if full := (*Error)(nil); errors.As(err, &full) && full.Status == http.StatusTooManyRequests {
		return "", &registerError{"TOO_MANY_REGISTRATIONS", full.Problem}
	}
	if err != nil {
		return "", &registerError{"INTERNAL_SERVER_ERROR", err.Error()}
	}
	s.logger.Info("register", "device", short(reg.id), "subscription", short(sub.ID))
	return strings.TrimPrefix(sub.Path, chromiumPath), nil
}

// attachDevice connects the device with the given ID. The store remembers a device
// without subscriptions as long as it is connected.
func (st *store) attachDevice(id string, notify func()) *attachment {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := st.agents[id]
	if a == nil {
		a = newAgent(id)
		st.agents[id] = a
	}
	return st.connect(a, notify)
}

func (st *store) registerDevice(id string, s Subscription) (Subscription, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := st.agents[id]
	if a == nil {
		a = newAgent(id)
	}
	return st.registerFor(a, s)
}

// unregisterDevice ends a subscription, if it exists.
func (st *store) unregisterDevice(id, channel string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := st.agents[id]
	if a == nil || a.subs[channel] == nil {
		return nil
	}
	st.expire(a.subs[channel])
	return st.settle()
}

// keyOf returns the key of a subscription of a connected user agent.
func (st *store) keyOf(at *attachment, channel string) (vapid.PublicKey, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub := at.agent.subs[channel]
	if sub == nil {
		return vapid.PublicKey{}, false
	}
	return sub.Key, true
}

// acknowledgeListed removes the messages that a login lists as received.
func (st *store) acknowledgeListed(at *attachment, ids []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, id := range ids {
		if m := st.waiting[id]; m != nil && m.owner.agent == at.agent {
			st.drop(m.owner, acknowledgedMessage, func(other *message) bool { return other == m })
		}
	}
}
