package pushservice

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is a request to an endpoint as it was received, including credentials.
type Request struct {
	// Time is the time of its arrival, when the headers were complete.
	Time time.Time `json:"time"`
	// Method is the HTTP method, POST for a message request.
	Method string `json:"method"`
	// Host is the value of the Host header.
	Host string `json:"host"`
	// Path is the path with the query.
	Path string `json:"path"`
	// Proto is "HTTP/1.1" or "HTTP/2.0".
	Proto string `json:"proto"`
	// Headers are all other headers, by canonical name.
	Headers http.Header `json:"headers"`
	// BodyLength is the number of bytes of the body, up to the maximum size.
	BodyLength int `json:"bodyLength"`
	// Status is the status code of the response, or 0 without one.
	Status int `json:"status"`
	// Subscription is the ID of the subscription, or empty if the endpoint is
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

// Requests returns the latest requests to endpoints, in the order of their
// responses.
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
