package appserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Limits for the requests of visitors.
const (
	maxSubscription = 16 << 10 // body, in bytes
	maxEndpoint     = 2048     // in bytes
	maxName         = 200      // user or tag, in bytes
	maxTags         = 32
)

func etag(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + b64.Encode(sum[:12]) + `"`
}

func (s *Server) getKey(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Accept")
	key := s.o.Key.PublicKey()
	if strings.HasPrefix(strings.TrimSpace(r.Header.Get("Accept")), "application/octet-stream") {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(vapid.PublicKeySize))
		_, _ = w.Write(key.Bytes())
		return nil
	}
	return writeJSON(w, http.StatusOK, struct {
		PublicKey string `json:"publicKey"`
		Track     bool   `json:"track,omitempty"`
	}{key.String(), s.o.Track})
}

// entry is a record in the API.
type entry struct {
	ID         string          `json:"id"`
	Service    webpush.Service `json:"service"`
	Origin     string          `json:"origin"`
	User       string          `json:"user,omitempty"`
	Tags       []string        `json:"tags"`
	Created    time.Time       `json:"created"`
	LastStatus *int            `json:"lastStatus"`
	Endpoint   string          `json:"endpoint,omitempty"`
}

// record reads a subscription with its user and tags. path is the position of b in the
// body.
func (s *Server) record(r *http.Request, b []byte, path string) (Record, error) {
	var fields struct {
		Subscription json.RawMessage `json:"subscription"`
		Endpoint     json.RawMessage `json:"endpoint"`
		User         *string         `json:"user"`
		Tags         *[]string       `json:"tags"`
	}
	if err := decode(b, &fields, false, path); err != nil {
		return Record{}, err
	}
	sub, err := webpush.ParseSubscription(b)
	var input *webpush.InputError
	if errors.As(err, &input) {
		p := asProblem(err)
		p.Code, p.Part = "invalid-subscription", strings.TrimPrefix(path+"."+input.Part, ".")
		return Record{}, p
	}
	if err != nil {
		return Record{}, err
	}
	rec, err := s.recordOf(sub)
	if err != nil {
		return Record{}, err
	}
	switch {
	case s.o.User != nil:
		if rec.User, err = s.o.User(r); err != nil {
			p := refuse(http.StatusForbidden, "unknown-user", "the request has no valid user")
			p.cause = err
			return Record{}, p
		}
	case fields.User != nil:
		rec.User = *fields.User
	}
	if rec.User != "" {
		if err := checkName("user", rec.User); err != nil {
			return Record{}, err
		}
	}
	if fields.Tags != nil {
		rec.Tags = append([]string{}, *fields.Tags...)
	}
	if len(rec.Tags) > maxTags {
		return Record{}, refuse(http.StatusBadRequest, "invalid-input", "found %d tags, expected at most %d", len(rec.Tags), maxTags).in("tags")
	}
	for i, tag := range rec.Tags {
		if err := checkName(fmt.Sprintf("tags[%d]", i), tag); err != nil {
			return Record{}, err
		}
	}
	rec.Key, err = s.keys.madeWith(sub)
	return rec, err
}

// recordOf returns the record to store for a subscription, which contains only the parts of
// the subscription. The error is the problem if the subscription is refused.
func (s *Server) recordOf(sub *webpush.Subscription) (Record, error) {
	if err := s.acceptable(sub); err != nil {
		return Record{}, err
	}
	if err := sub.CheckKeys(); err != nil {
		return Record{}, refuse(http.StatusBadRequest, "invalid-subscription", "%v", err).
			in("keys").hint("send the complete result of JSON.stringify(subscription)")
	}
	k := sub.Recipient()
	return Record{Endpoint: sub.Endpoint(), Service: sub.Service(), Origin: sub.Origin(), P256DH: b64.Encode(k.P256DH()), Auth: b64.Encode(k.Auth())}, nil
}

func checkName(part, name string) error {
	bad := func(format string, a ...any) error {
		return refuse(http.StatusBadRequest, "invalid-input", format, a...).in(part)
	}
	switch {
	case name == "":
		return bad("%s is empty", part)
	case len(name) > maxName:
		return bad("%s is %d bytes long, expected at most %d", part, len(name), maxName)
	case strings.ContainsFunc(name, func(c rune) bool {
		return c == '\n' || c == '\t' || printable.Harmful(c)
	}):
		return bad("%s contains a control character, or a character that changes the direction of text", part)
	case !utf8.ValidString(name): // possible in a header, not in a body
		return bad("%s is not valid UTF-8", part)
	}
	return nil
}

// hintPublic is the hint if an endpoint is refused because of its address.
const hintPublic = "endpoints must be https URLs at public addresses unless the server allows private ones"

// acceptable refuses endpoints to which the server would not send. The addresses of a
// host name are checked when it is dialed.
func (s *Server) acceptable(sub *webpush.Subscription) error {
	bad := func(format string, a ...any) *problem {
		return refuse(http.StatusBadRequest, "endpoint-refused", format, a...).in("endpoint")
	}
	if len(sub.Endpoint()) > maxEndpoint {
		return bad("the endpoint is %d bytes long, expected at most %d", len(sub.Endpoint()), maxEndpoint)
	}
	u, err := url.Parse(sub.Origin())
	if err != nil {
		return bad("the endpoint's origin is not a URL")
	}
	refused, _ := errors.AsType[*webpush.Error](s.client.CheckSubscription(sub))
	switch {
	case sub.PermanentlyRemoved():
		return bad("%s", refused.Problem).hint("unsubscribe, and subscribe again")
	case u.Scheme != "https" && !s.o.AllowPrivate:
		return bad("the endpoint is not https").hint(hintPublic)
	case refused != nil:
		return bad("%s", refused.Problem).hint(refused.Hint())
	case !netaddr.PublicHost(u.Hostname()) && !s.o.AllowPrivate:
		return bad("the endpoint is not on the Internet").hint(hintPublic)
	case !s.o.AllowPrivate && u.Port() != "" && u.Port() != "443" && !slices.ContainsFunc(s.o.Ports, func(n int) bool { return u.Port() == strconv.Itoa(n) }):
		return bad("the endpoint is at port %s, expected 443", u.Port()).hint("other ports must be allowed by the server")
	case s.o.KnownServices && (sub.Service() == webpush.Other || sub.Service() == webpush.UnifiedPush):
		return bad("unknown push service %s, expected one of Apple, Google, Microsoft, and Mozilla", sub.Origin())
	}
	return nil
}

// stored is the response to a subscription.
type stored struct {
	ID      string          `json:"id"`
	Service webpush.Service `json:"service"`
	Created bool            `json:"created"`
}

func writeStored(w http.ResponseWriter, r Record, created bool) error {
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return writeJSON(w, status, stored{r.ID, r.Service, created})
}

func (s *Server) postSubscription(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, maxSubscription)
	if err != nil {
		return err
	}
	rec, err := s.record(r, b, "")
	if err != nil {
		return err
	}
	if err := s.room(r, rec.Endpoint); err != nil {
		return err
	}
	rec, created, err := s.store.Put(r.Context(), rec)
	if err != nil {
		return err
	}
	return writeStored(w, rec, created)
}

// room refuses a new subscription if the store has the maximum number. If the store has
// one of the endpoints, the subscription is not new.
func (s *Server) room(r *http.Request, endpoints ...string) error {
	if s.o.MaxSubscriptions <= 0 {
		return nil
	}
	n, err := s.countAll(r)
	if err != nil || n < s.o.MaxSubscriptions {
		return err
	}
	for _, endpoint := range endpoints {
		if _, err := s.store.Find(r.Context(), endpoint); err == nil || !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return refuse(http.StatusInsufficientStorage, "full", "the server has %d subscriptions, the maximum number", n)
}

func (s *Server) countAll(r *http.Request) (total int64, err error) {
	counts, err := s.store.Count(r.Context())
	for _, n := range counts {
		total += n
	}
	return total, err
}

// endpointOf returns the field endpoint of an object, such as a subscription.
func endpointOf(b []byte, path string) (string, error) {
	var v struct {
		Endpoint *string `json:"endpoint"`
	}
	if err := decode(b, &v, false, path); err != nil {
		return "", err
	}
	if v.Endpoint == nil || *v.Endpoint == "" {
		part := strings.TrimPrefix(path+".endpoint", ".")
		return "", refuse(http.StatusBadRequest, "invalid-input", "%s is missing", part).in(part)
	}
	if len(*v.Endpoint) > maxEndpoint {
		part := strings.TrimPrefix(path+".endpoint", ".")
		return "", refuse(http.StatusBadRequest, "invalid-input", "%s is %d bytes long, expected at most %d", part, len(*v.Endpoint), maxEndpoint).in(part)
	}
	return *v.Endpoint, nil
}

func (s *Server) deleteSubscription(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, maxSubscription)
	if err != nil {
		return err
	}
	endpoint, err := endpointOf(b, "")
	if err != nil {
		return err
	}
	if _, err := s.store.Delete(r.Context(), endpoint); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) changeSubscription(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, 2*maxSubscription)
	if err != nil {
		return err
	}
	var v struct {
		Old json.RawMessage `json:"old"`
		New json.RawMessage `json:"new"`
	}
	if err := decode(b, &v, true, ""); err != nil {
		return err
	}
	if len(v.New) == 0 || bytes.Equal(v.New, []byte("null")) {
		return refuse(http.StatusBadRequest, "invalid-input", "new is missing, expected a subscription").in("new").hint("to remove the old one, use DELETE /subscription")
	}
	rec, err := s.record(r, v.New, "new")
	if err != nil {
		return err
	}
	old := "" // some browsers do not provide it
	if len(v.Old) > 0 && !bytes.Equal(v.Old, []byte("null")) {
		if old, err = endpointOf(v.Old, "old"); err != nil {
			return err
		}
	}
	if err := s.room(r, rec.Endpoint, old); err != nil {
		return err
	}
	rec, created, err := s.store.Change(r.Context(), old, rec)
	if err != nil {
		return err
	}
	return writeStored(w, rec, created)
}

func (s *Server) listSubscriptions(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Accept")
	if wantsLines(r) {
		return s.exportSubscriptions(w, r)
	}
	q, err := newQuery(r, "after", "limit", "user", "tag", "endpoints")
	if err != nil {
		return err
	}
	after, limit := q.number("after", 0, 1<<62), int(q.number("limit", 100, 1000))
	filter := Filter{User: q.text("user"), Tag: q.text("tag")}
	if filter.User != "" && filter.Tag != "" {
		return refuse(http.StatusBadRequest, "invalid-input", "user and tag cannot be combined").in("tag")
	}
	endpoints := q.flag("endpoints")
	if q.err != nil {
		return q.err
	}
	counts, err := s.store.Count(r.Context())
	if err != nil {
		return err
	}
	list, err := s.store.List(r.Context(), filter, after, 0, limit+1)
	if err != nil {
		return err
	}
	list, more := pageOf(list, limit)
	byKey, err := s.keys.count(r.Context(), s.store)
	if err != nil {
		return err
	}
	out := struct {
		Total         int64                     `json:"total"`
		Services      map[webpush.Service]int64 `json:"services"`
		Keys          []KeyCount                `json:"keys"`
		Subscriptions []entry                   `json:"subscriptions"`
		Next          string                    `json:"next,omitempty"`
	}{Services: counts, Keys: s.keys.list(byKey), Subscriptions: []entry{}}
	for _, n := range counts {
		out.Total += n
	}
	for _, rec := range list {
		e := entry{ID: rec.ID, Service: rec.Service, Origin: rec.Origin, User: rec.User, Tags: append([]string{}, rec.Tags...), Created: rec.Created}
		if rec.LastStatus != 0 {
			e.LastStatus = &rec.LastStatus
		}
		if endpoints {
			e.Endpoint = rec.Endpoint
		}
		out.Subscriptions = append(out.Subscriptions, e)
	}
	if more {
		out.Next = strconv.FormatInt(list[len(list)-1].Seq, 10)
	}
	return writeJSON(w, http.StatusOK, out)
}

// pageOf shortens a list, which was requested with one more than limit, to limit. It
// reports whether there are more.
func pageOf[T any](list []T, limit int) ([]T, bool) {
	return list[:min(len(list), limit)], len(list) > limit
}

// query reads the parameters of a request. err is the first error.
type query struct {
	values url.Values
	err    error
}

func newQuery(r *http.Request, known ...string) (*query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid-query", "the query is not valid").in("query")
	}
	q := &query{values: values}
	for name, list := range values {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return nil, refuse(http.StatusBadRequest, "invalid-query", "unknown parameter %q, expected %s", clip(name), strings.Join(known, ", ")).in(clip(name))
		}
		// An empty value usually comes from a variable that was not set.
		if len(list) > 1 || list[0] == "" {
			problem := "is empty"
			if len(list) > 1 {
				problem = "is given more than once"
			}
			return nil, refuse(http.StatusBadRequest, "invalid-query", "the parameter %s %s", name, problem).in(name).hint("omit it to use its default")
		}
	}
	return q, nil
}

func (q *query) text(name string) string { return q.values.Get(name) }

// number reads a whole number from 1 to most; after and before may be 0.
func (q *query) number(name string, otherwise, most int64) int64 {
	text := q.values.Get(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most || n == 0 && otherwise > 0 {
		if q.err == nil {
			q.err = refuse(http.StatusBadRequest, "invalid-query", "%s is %q, expected a whole number up to %d", name, clip(text), most).in(name)
		}
		return otherwise
	}
	return n
}

func (q *query) flag(name string) bool {
	switch text := q.values.Get(name); text {
	case "", "false":
		return false
	case "true":
		return true
	default:
		if q.err == nil {
			q.err = refuse(http.StatusBadRequest, "invalid-query", "%s is %q, expected true or false", name, clip(text)).in(name)
		}
		return false
	}
}
