package pushservice

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const (
	// maxWait is the longest duration of a long poll, in seconds: proxies often
	// abort requests after a minute.
	maxWait = 60
	// maxJSON is the maximum size of a request's body under /api, in bytes.
	maxJSON = 1 << 20
)

// serveAPI handles the routes under /api; parts are the segments after /api.
func (s *Service) serveAPI(w http.ResponseWriter, r *http.Request, parts []string) error {
	if err := s.checkOrigin(w, r); err != nil {
		return err
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" && preflight(w, r, http.StatusNoContent, "GET, POST, DELETE") {
		return nil
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http omits the body
	}
	switch {
	case len(parts) == 1 && parts[0] == "subscriptions":
		switch method {
		case http.MethodGet:
			return s.listSubscriptions(w, r)
		case http.MethodPost:
			return s.postSubscription(w, r)
		}
		return notAllowed(r, "GET, POST")
	case len(parts) == 2 && parts[0] == "subscriptions":
		if method != http.MethodDelete {
			return notAllowed(r, http.MethodDelete)
		}
		if s.faulty(w, r, OnUnregistration, nil) {
			return nil
		}
		if err := s.Unsubscribe(parts[1]); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case len(parts) == 3 && parts[0] == "subscriptions" && parts[2] == "messages":
		if method != http.MethodGet {
			return notAllowed(r, http.MethodGet)
		}
		return s.getMessages(w, r, parts[1])
	case len(parts) == 1 && parts[0] == "faults":
		switch method {
		case http.MethodPost:
			if err := s.postFault(w, r); err != nil {
				return err
			}
		case http.MethodDelete:
			s.ClearFaults()
		default:
			return notAllowed(r, "POST, DELETE")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case len(parts) == 1 && parts[0] == "chromium":
		if method != http.MethodGet {
			return notAllowed(r, http.MethodGet)
		}
		return s.getChromium(w)
	case len(parts) == 1 && parts[0] == "requests":
		if method != http.MethodGet {
			return notAllowed(r, http.MethodGet)
		}
		writeJSON(w, http.StatusOK, map[string][]Request{"requests": orEmpty(s.Requests())})
		return nil
	}
	return notFound("Invalid path", "%q is not a route of this push service", clip(r.URL.Path))
}

// orEmpty makes a nil list [] in JSON, not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Service) listSubscriptions(w http.ResponseWriter, r *http.Request) error {
	type item struct {
		ID                   string    `json:"id"`
		Endpoint             string    `json:"endpoint"`
		ApplicationServerKey *string   `json:"applicationServerKey"`
		Created              time.Time `json:"created"`
		Messages             int       `json:"messages"`
		Waiting              int       `json:"waiting"`
		Channel              *string   `json:"channelID"`
	}
	origin, err := s.originOf(r)
	if err != nil {
		return err
	}
	list := []item{}
	for _, sub := range s.Subscriptions() {
		i := item{sub.ID, origin + sub.Path, nil, sub.Created.UTC(), sub.Messages, sub.Waiting, nil}
		if sub.Channel != "" {
			i.Channel = &sub.Channel
		}
		if !sub.Key.IsZero() {
			key := sub.Key.String()
			i.ApplicationServerKey = &key
		}
		list = append(list, i)
	}
	writeJSON(w, http.StatusOK, map[string][]item{"subscriptions": list})
	return nil
}

func (s *Service) postSubscription(w http.ResponseWriter, r *http.Request) error {
	var v struct {
		ApplicationServerKey *string `json:"applicationServerKey"`
	}
	if err := readJSON(w, r, &v); err != nil {
		return err
	}
	var key vapid.PublicKey
	if v.ApplicationServerKey != nil {
		b, err := b64.Decode(*v.ApplicationServerKey)
		if err == nil {
			key, err = parseKey(b)
		}
		if err != nil {
			return badRequest("Invalid applicationServerKey", "%v", err)
		}
	}
	origin, err := s.originOf(r)
	if err != nil {
		return err
	}
	if s.faulty(w, r, OnRegistration, nil) {
		return nil
	}
	sub, err := s.Subscribe(key)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, struct {
		ID       string `json:"id"`
		Endpoint string `json:"endpoint"`
	}{sub.ID, origin + sub.Path})
	return nil
}

func (s *Service) getMessages(w http.ResponseWriter, r *http.Request, id string) error {
	wait, after, err := pollParameters(r)
	if err != nil {
		return err
	}
	list, err := s.Messages(r.Context(), id, after, wait)
	if err != nil && r.Context().Err() == nil {
		return err
	}
	// If the context is canceled, the server is stopping or the client has
	// disconnected.
	writeJSON(w, http.StatusOK, map[string][]AcceptedMessage{"messages": orEmpty(list)})
	return nil
}

func (s *Service) postFault(w http.ResponseWriter, r *http.Request) error {
	var v struct {
		On           string            `json:"on"`
		Error        string            `json:"error"`
		Subscription string            `json:"subscription"`
		Status       int               `json:"status"`
		Headers      map[string]string `json:"headers"`
		Body         *string           `json:"body"`
		Count        *int              `json:"count"`
		Delay        string            `json:"delay"`
		Reset        bool              `json:"reset"`
		Always       bool              `json:"always"`
		After        int               `json:"after"`
		Share        float64           `json:"share"`
	}
	if err := readJSON(w, r, &v); err != nil {
		return err
	}
	f := Fault{On: v.On, Error: v.Error, Subscription: v.Subscription, Status: v.Status, Header: v.Headers, Reset: v.Reset,
		Always: v.Always, After: v.After, Share: v.Share}
	if v.Body != nil {
		f.Body = []byte(*v.Body)
	}
	if v.Count != nil {
		if f.Count = *v.Count; f.Count == 0 {
			return badRequest("Invalid fault", "count is 0, expected 1 or more")
		}
	}
	if v.Delay != "" {
		var err error
		if f.Delay, err = parseDelay(v.Delay); err != nil {
			return err
		}
	}
	return s.AddFault(f)
}

// readJSON reads the body into v; without a body, v is unchanged.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := readAll(w, r, maxJSON)
	if errors.As(err, new(*http.MaxBytesError)) {
		return refuse(http.StatusRequestEntityTooLarge, errnoTooLarge, "Body too large", "it has more than %s", bytesOf(maxJSON))
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		switch err = d.Decode(v); {
		case err == io.EOF:
			return nil
		case err == nil:
			if _, err := d.Token(); err != io.EOF {
				return badRequest("Invalid JSON", "there is more after the object")
			}
			return nil
		}
	}
	return badRequest("Invalid JSON", "%s", text.JSONProblem(err))
}
