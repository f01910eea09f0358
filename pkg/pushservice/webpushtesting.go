package pushservice

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Receiver holds the private key of a user agent. This package cannot use the key
// itself: a push service cannot decrypt (RFC 8291, section 1). Package receiver has
// one.
type Receiver interface {
	// Recipient returns the public key, 65 bytes, and the authentication
	// secret, 16 bytes (RFC 8291, section 3).
	Recipient() (p256dh, auth []byte)
	// Decrypt returns the payload of a message that has a body.
	Decrypt(m AcceptedMessage) ([]byte, error)
}

// serveTesting handles the routes of the npm package web-push-testing as that
// package does; handled is false for other routes. The service is the user agent,
// too, and keeps the decrypted texts.
func (s *Service) serveTesting(w http.ResponseWriter, r *http.Request, parts []string) (handled bool, err error) {
	var serve func(http.ResponseWriter, *http.Request) error
	switch {
	case len(parts) == 1 && parts[0] == "status":
		serve = func(w http.ResponseWriter, _ *http.Request) error { return writeOK(w) }
	case len(parts) == 1 && parts[0] == "subscribe":
		serve = s.testingSubscribe
	case len(parts) == 2 && parts[0] == "expire-subscription":
		serve = func(w http.ResponseWriter, _ *http.Request) error { return s.testingExpire(w, parts[1]) }
	case len(parts) == 1 && parts[0] == "get-notifications":
		serve = s.testingNotifications
	default:
		return false, nil
	}
	if s.newReceiver == nil {
		return true, refuse(http.StatusNotImplemented, noErrno, "No receiver keys", "the routes of web-push-testing require the keys of user agents, which this push service was started without")
	}
	if err := s.checkOrigin(w, r); err != nil {
		return true, err
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" && preflight(w, r, http.StatusNoContent, http.MethodPost) {
		return true, nil
	}
	if r.Method != http.MethodPost {
		return true, notAllowed(r, http.MethodPost)
	}
	return true, serve(w, r)
}

// writeOK is Express' sendStatus(200).
func writeOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// Writing fails if the client has disconnected.
	_, _ = io.WriteString(w, "OK")
	return nil
}

func writeTestingError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]string{"message": message}})
}

// testingOptions reads a JSON object or a form; without either, the result is
// empty.
func testingOptions(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	options := make(map[string]any)
	b, err := readAll(w, r, maxJSON)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		if len(b) == 0 {
			return options, nil
		}
		return options, json.Unmarshal(b, &options)
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(b))
		for name := range form {
			options[name] = form.Get(name)
		}
		return options, err
	}
	return options, nil
}

func (s *Service) testingSubscribe(w http.ResponseWriter, r *http.Request) error {
	bad := func(format string, a ...any) error {
		writeTestingError(w, http.StatusBadRequest, fmt.Sprintf(format, a...))
		return nil
	}
	options, err := testingOptions(w, r)
	if err != nil {
		return bad("%v", err)
	}
	var key vapid.PublicKey
	for name, value := range options {
		switch name {
		case "userVisibleOnly":
			if text := fmt.Sprint(value); text != "true" && text != "false" {
				return bad("Parameter userVisibleOnly is not of type boolean: %s", clip(text))
			}
		case "applicationServerKey":
			raw, err := b64.Decode(fmt.Sprint(value))
			if err == nil {
				key, err = parseKey(raw)
			}
			if err != nil {
				return bad("Parameter applicationServerKey does not seem to be a valid VAPID key.")
			}
		default:
			return bad("Invalid property %s sent.", clip(name))
		}
	}
	origin, err := s.originOf(r)
	if err != nil {
		return err
	}
	receiver, err := s.newReceiver()
	if err != nil {
		return err
	}
	hash := hexID(32)
	sub, err := s.store.insert(&subscription{
		Subscription: Subscription{ID: hash, Path: "/notify/" + hash, Key: key},
		receiver:     receiver,
	})
	if err != nil {
		return err
	}
	type keys struct {
		P256DH string `json:"p256dh"`
		Auth   string `json:"auth"`
	}
	type data struct {
		Endpoint string `json:"endpoint"`
		Keys     keys   `json:"keys"`
		Hash     string `json:"clientHash"`
	}
	p256dh, auth := receiver.Recipient()
	writeJSON(w, http.StatusOK, map[string]data{"data": {
		origin + sub.Path, keys{b64.Encode(p256dh), b64.Encode(auth)}, hash,
	}})
	return nil
}

func (s *Service) testingExpire(w http.ResponseWriter, hash string) error {
	_, expired, ok := s.store.lookup("/notify/" + hash)
	if !ok {
		writeTestingError(w, http.StatusBadRequest, "Subscription with specified client hash does not exist")
		return nil
	}
	if !expired {
		if err := s.Unsubscribe(hash); err != nil {
			return err
		}
	}
	return writeOK(w)
}

func (s *Service) testingNotifications(w http.ResponseWriter, r *http.Request) error {
	options, err := testingOptions(w, r)
	if err != nil {
		writeTestingError(w, http.StatusBadRequest, err.Error())
		return nil
	}
	hash, _ := options["clientHash"].(string)
	texts, ok := s.store.texts(hash)
	if !ok {
		writeTestingError(w, http.StatusBadRequest, "Client not subscribed")
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"messages": orEmpty(texts)}})
	return nil
}

// keepText keeps a text that a subscription of web-push-testing received.
func (st *store) keepText(id, text string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := st.find(id)
	if err != nil {
		return err
	}
	if st.kept >= st.maxMessages {
		return full("Too many messages", "%d were received, the maximum", st.kept)
	}
	st.kept++
	sub.texts = append(sub.texts, text)
	return nil
}

// receiver returns the keys of a subscription of web-push-testing (its path is
// /notify/…), or nil.
func (st *store) receiver(id string) Receiver {
	st.mu.Lock()
	defer st.mu.Unlock()
	if sub := st.byID[id]; sub != nil {
		return sub.receiver
	}
	return nil
}

func (st *store) texts(id string) ([]string, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub := st.byID[id]
	if sub == nil || sub.receiver == nil {
		return nil, false
	}
	return sub.texts, true
}
