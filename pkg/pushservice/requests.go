package pushservice

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is a request to an endpoint as it was received, credentials included.
type Request struct {
	// Time is when its header was received.
	Time time.Time `json:"time"`
	// Method is that of HTTP, POST for a message request.
	Method string `json:"method"`
	// Host is what the Host header says.
	Host string `json:"host"`
	// Path is path and query.
	Path string `json:"path"`
	// Proto is "HTTP/1.1" or "HTTP/2.0".
	Proto string `json:"proto"`
	// Headers are all others, by canonical name.
	Headers http.Header `json:"headers"`
	// BodyLength is how many bytes of body were read, none after the limit.
	BodyLength int `json:"bodyLength"`
	// Status is the status code of the answer, 0 if there was none.
	Status int `json:"status"`
	// Subscription is the id of the subscription, or empty if the endpoint is
	// unknown.
	Subscription string `json:"subscription"`
}

func newRequest(r *http.Request) Request {
	return Request{
		Time:    now().UTC(),
		Method:  r.Method,
		Host:    r.Host,
		Path:    r.URL.RequestURI(),
		Proto:   r.Proto,
		Headers: r.Header.Clone(),
	}
}

// Requests lists the last requests to endpoints, in the order in which they
// were answered.
func (s *Service) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.list)
}

type requestLog struct {
	max  int
	mu   sync.Mutex
	list []Request
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= l.max {
		l.list = slices.Delete(l.list, 0, len(l.list)-l.max+1)
	}
	l.list = append(l.list, r)
}
