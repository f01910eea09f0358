package appserver

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const maxPush = 64 << 10 // size limit of a body, in bytes

// pushRequest is the body of POST /push.
type pushRequest struct {
	Payload      json.RawMessage   `json:"payload"`
	Notification *pushNotification `json:"notification"`
	TTL          *int64            `json:"ttl"`
	Urgency      string            `json:"urgency"`
	Topic        string            `json:"topic"`
	To           *recipients       `json:"to"`
	SendAt       string            `json:"sendAt"` // RFC 3339, or a duration
	Cancelable   bool              `json:"cancelable"`
}

// recipients selects the recipients of a push. Exactly one field is set.
type recipients struct {
	All  bool   `json:"all"`
	User string `json:"user"`
	Tag  string `json:"tag"`
}

// pushNotification adds the common name of navigate, and declarative, to the fields of a
// notification.
type pushNotification struct {
	webpush.Notification
	URL         string `json:"url"`
	Declarative bool   `json:"declarative"`
}

// message returns the message to send.
func (p *pushRequest) message() (JobMessage, error) {
	m := JobMessage{TTL: webpush.DefaultTTL, Topic: p.Topic, Cancelable: p.Cancelable}
	bad := func(part, format string, a ...any) (JobMessage, error) {
		return m, refuse(http.StatusBadRequest, "invalid-input", format, a...).in(part)
	}
	payload := bytes.TrimSpace(p.Payload)
	if len(payload) > 0 && string(payload) != "null" {
		if p.Notification != nil {
			return bad("payload", "payload and notification cannot be combined")
		}
		var text string
		if json.Unmarshal(payload, &text) == nil {
			m.Payload = []byte(text)
		} else {
			var b bytes.Buffer
			if err := json.Compact(&b, payload); err != nil {
				return m, err
			}
			m.Payload = b.Bytes()
		}
	}
	if n := p.Notification; n != nil {
		if n.URL != "" && n.Navigate != "" && n.URL != n.Navigate {
			return bad("notification.url", "url and navigate are two names of the same field, but their values differ")
		}
		if n.URL != "" {
			n.Navigate = n.URL
		}
		if n.Title == "" {
			return bad("notification.title", "the notification has no title")
		}
		var err error
		if n.Declarative {
			m.Payload, err = n.Notification.Declarative()
		} else {
			m.Payload, err = n.Payload()
		}
		var input *webpush.InputError
		if errors.As(err, &input) {
			return bad("notification."+input.Part, "%s", input.Problem)
		}
		if err != nil {
			return m, err
		}
	}
	if p.TTL != nil {
		var err error
		if m.TTL, err = ttlOf(*p.TTL); err != nil {
			return m, err
		}
	}
	if p.Urgency != "" {
		var err error
		if m.Urgency, err = webpush.ParseUrgency(p.Urgency); err != nil {
			return m, err
		}
	}
	return m, nil
}

// ttlOf returns the TTL for a number of seconds in a request.
func ttlOf(seconds int64) (time.Duration, error) {
	if most := int64(webpush.MaxTTL / time.Second); seconds < 0 || seconds > most {
		return 0, refuse(http.StatusBadRequest, "invalid-input", "ttl is %d, expected 0 to %d seconds", seconds, most).in("ttl")
	}
	return time.Duration(seconds) * time.Second, nil
}

func (p *pushRequest) filter() (f Filter, err error) {
	if p.To == nil {
		return f, nil
	}
	n := 0
	for _, given := range []bool{p.To.All, p.To.User != "", p.To.Tag != ""} {
		if given {
			n++
		}
	}
	if n != 1 {
		return f, refuse(http.StatusBadRequest, "invalid-input", "to has %d of the fields all, user, and tag, expected exactly one", n).
			in("to").hint(`use {"all": true}, {"user": "…"}, or {"tag": "…"}`)
	}
	return Filter{User: p.To.User, Tag: p.To.Tag}, nil
}

// tooLong returns the problem for an error of a probe.
func tooLong(err error, part string) error {
	var long *ece.TooLongError
	if errors.As(err, &long) {
		return refuse(http.StatusRequestEntityTooLarge, "payload-too-large", "%v", err).in(part).hint(long.Hint())
	}
	return err
}

func (s *Server) postPush(w http.ResponseWriter, r *http.Request) error {
	p, err := s.readPush(w, r)
	if err != nil {
		return err
	}
	message, err := p.message()
	if err != nil {
		return err
	}
	to, err := p.filter()
	if err != nil {
		return err
	}
	due, err := parseSendAt(p.SendAt, time.Now())
	if err != nil {
		return err
	}
	once, err := onceOf(r, p, message, to)
	if err != nil {
		return err
	}
	track := ""
	if id := rand.Text(); s.o.Track && p.track(id) {
		track = id
		if message, err = p.message(); err != nil {
			return err
		}
	}
	part := "payload"
	if p.Notification != nil {
		part = "notification"
	}
	if _, err := s.probe(webpush.Message{Payload: message.Payload, TTL: &message.TTL, Urgency: message.Urgency, Topic: message.Topic}); err != nil {
		return tooLong(err, part)
	}
	job, err := s.store.CreateJob(r.Context(), Job{ID: rand.Text(), Message: message, To: to, Due: due, Once: once, Track: track})
	if errors.Is(err, ErrOtherRequest) {
		return refuse(http.StatusUnprocessableEntity, "idempotency-key-used", "another push was sent with this Idempotency-Key").
			in("Idempotency-Key").hint("use a new key for each push; reuse a key only to repeat a request")
	}
	if err != nil {
		return err
	}
	s.wakeUp()
	w.Header().Set("Location", "push/"+job.ID) // relative, in case a proxy serves it below another path
	return writeJSON(w, http.StatusAccepted, showJob(job))
}

func (s *Server) listPushes(w http.ResponseWriter, r *http.Request) error {
	q, err := newQuery(r, "before", "limit", "state")
	if err != nil {
		return err
	}
	before, limit := q.number("before", 0, 1<<62), int(q.number("limit", 20, 100))
	state := State(q.text("state"))
	if q.err != nil {
		return q.err
	}
	var list []Job
	more := false
	switch {
	case state == "":
		list, err = s.store.Jobs(r.Context(), before, limit+1)
		list, more = pageOf(list, limit)
	case state != Scheduled:
		return refuse(http.StatusBadRequest, "invalid-query", "state is %q, expected scheduled", clip(string(state))).in("state")
	case q.values.Has("before"):
		return refuse(http.StatusBadRequest, "invalid-query", "before and state cannot be combined").in("before")
	default:
		list, err = s.store.Scheduled(r.Context(), limit)
	}
	if err != nil {
		return err
	}
	out := struct {
		Jobs []shownJob `json:"jobs"`
		Next string     `json:"next,omitempty"`
	}{Jobs: []shownJob{}}
	for _, j := range list {
		out.Jobs = append(out.Jobs, showJob(j))
	}
	if more {
		out.Next = strconv.FormatInt(list[len(list)-1].Seq, 10)
	}
	return writeJSON(w, http.StatusOK, out)
}

// findJob returns the job named in the path.
func (s *Server) findJob(r *http.Request) (Job, error) {
	j, err := s.store.FindJob(r.Context(), r.PathValue("id"))
	if errors.Is(err, ErrNotFound) {
		return j, refuse(http.StatusNotFound, "not-found", "push not found: %q", clip(r.PathValue("id"))).in("id").hint("GET /push lists all pushes; old ones are deleted")
	}
	return j, err
}

func (s *Server) getPush(w http.ResponseWriter, r *http.Request) error {
	q, err := newQuery(r, "results", "after", "limit")
	if err != nil {
		return err
	}
	after, limit := q.number("after", 0, 1<<62), int(q.number("limit", 100, 1000))
	if q.err != nil {
		return q.err
	}
	j, err := s.findJob(r)
	if err != nil {
		return err
	}
	out := showJob(j)
	if results := q.text("results"); results != "" {
		class := webpush.Class(results)
		if results == "all" {
			class = ""
		} else if !slices.Contains(failureClasses, class) {
			return refuse(http.StatusBadRequest, "invalid-query", "results is %q, expected all, rejected, temporary, invalid, or expired", clip(results)).in("results")
		}
		list, err := s.store.Failures(r.Context(), j.ID, class, after, limit+1)
		if err != nil {
			return err
		}
		list, more := pageOf(list, limit)
		shown := []shownFailure{}
		for _, f := range list {
			v := shownFailure{f.ID, f.Service, f.Origin, f.Class, nil, f.Problem, f.Hint, f.Attempts, f.Time}
			if f.Status != 0 {
				v.Status = &f.Status
			}
			shown = append(shown, v)
		}
		out.Results = &shown
		if more {
			out.Next = strconv.FormatInt(list[len(list)-1].Seq, 10)
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) cancelPush(w http.ResponseWriter, r *http.Request) error {
	j, err := s.findJob(r)
	if err != nil {
		return err
	}
	err = s.store.SetState(r.Context(), j.ID, Canceled, "")
	if errors.Is(err, ErrFinished) {
		p := refuse(http.StatusConflict, "push-over", "the push has already finished: it is %s", j.State).in("id")
		if j.State == Done && !j.Message.Cancelable {
			_ = p.hint("only a push that was sent with \"cancelable\": true can be withdrawn from push services")
		}
		return p
	}
	if err != nil {
		return err
	}
	s.halt(j.ID)
	select {
	case s.canceled <- struct{}{}:
	default:
	}
	s.news.changed(j.ID)
	if j, err = s.findJob(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, showJob(j))
}

func (s *Server) retryPush(w http.ResponseWriter, r *http.Request) error {
	j, err := s.findJob(r)
	if err != nil {
		return err
	}
	filter, err := failureFilter(w, r)
	if err != nil {
		return err
	}
	if _, err = s.store.Retry(r.Context(), j.ID, filter); errors.Is(err, ErrFinished) {
		return refuse(http.StatusConflict, "push-not-over", "the push is %s: only a push that is done or failed can be retried", j.State).in("id")
	}
	if err != nil {
		return err
	}
	s.wakeUp()
	s.news.changed(j.ID)
	if j, err = s.findJob(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, showJob(j))
}

// failureFilter reads the body of a retry, which is optional.
func failureFilter(w http.ResponseWriter, r *http.Request) (f FailureFilter, err error) {
	b, err := readAll(w, r, maxPush)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return f, err
	}
	if !isJSON(contentType(r)) {
		return f, notJSON(r)
	}
	var v struct {
		Class   webpush.Class `json:"class"`
		Origin  string        `json:"origin"`
		Status  *int          `json:"status"`
		Problem string        `json:"problem"`
	}
	if err := decode(b, &v, true, ""); err != nil {
		return f, err
	}
	if v.Class != "" && !slices.Contains(failureClasses, v.Class) {
		return f, refuse(http.StatusBadRequest, "invalid-input", "class is %q, expected rejected, temporary, invalid, or expired", clip(string(v.Class))).in("class")
	}
	if v.Status != nil && (*v.Status < 0 || *v.Status > 599) {
		return f, refuse(http.StatusBadRequest, "invalid-input", "status is %d, expected 0 to 599", *v.Status).in("status")
	}
	return FailureFilter(v), nil
}

// failureClasses are the classes of messages that are listed as failures.
var failureClasses = []webpush.Class{webpush.ClassRejected, webpush.ClassTemporary, webpush.ClassInvalid, webpush.ClassExpired}
