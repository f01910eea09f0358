package pushservice

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is how the service misbehaves on request.
type Fault struct {
	// Subscription is the id of the one whose messages are concerned; empty for
	// all message requests, those to unknown endpoints included.
	Subscription string
	// Status is the status code to answer, from 200 to 599. If it is 0 the
	// request is answered as usual, after Delay.
	Status int
	// Header is set in the answer of Status, such as {"Retry-After": "1"}.
	Header map[string]string
	// Body is the answer of Status; nil is what the service's [Personality]
	// answers, if Status is 400 or more, or else nothing.
	Body []byte
	// Count is how many requests are concerned; 0 is 1.
	Count int
	// Always makes it all of them, until [Service.ClearFaults], whatever Count.
	Always bool
	// After is how many requests are answered as usual first.
	After int
	// Share is the part of the requests that are concerned, from 0 to 1, evenly
	// distributed: 0.1 is every tenth. 0 is all.
	Share float64
	// Delay is how long the answer is held back.
	Delay time.Duration
	// Reset closes the connection (HTTP/2: the stream) instead of answering.
	Reset bool
}

// maxFaults is how many can be in effect.
const maxFaults = 1000

// AddFault makes the next message requests fail as f says, after earlier faults
// that concern them are used up. Other requests do not count. The error is that
// f has values out of range, that its subscription is unknown or expired, or
// that there are too many faults.
func (s *Service) AddFault(f Fault) error {
	const invalid = "Invalid fault"
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return badRequest(invalid, "status is %d, expected 200 to 599", f.Status)
	case !(f.Share >= 0 && f.Share <= 1):
		return badRequest(invalid, "share is %v, expected 0 to 1", f.Share)
	case f.After < 0:
		return badRequest(invalid, "after is %d, expected 0 or more", f.After)
	case f.Count < 0:
		return badRequest(invalid, "count is %d, expected 1 or more", f.Count)
	case f.Delay < 0:
		return badRequest(invalid, "delay is %v, expected 0 or more", f.Delay)
	case f.Status == 0 && f.Delay == 0 && !f.Reset:
		return badRequest(invalid, "it has neither status nor delay nor reset")
	}
	for name, value := range f.Header {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f || !isTokenChar(byte(r)) }) {
			return badRequest(invalid, "%q is no name of a header", clip(name))
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return badRequest(invalid, "the header %q has control characters", clip(name))
		}
	}
	if f.Subscription != "" {
		s.store.mu.Lock()
		_, err := s.store.find(f.Subscription)
		s.store.mu.Unlock()
		if err != nil {
			return err
		}
	}
	f.Count = max(1, f.Count)
	return s.faults.add(f)
}

// ClearFaults ends all faults.
func (s *Service) ClearFaults() { s.faults.clear() }

// faults is a queue.
type faults struct {
	mu   sync.Mutex
	list []*faultState
}

// faultState is a fault and how much of it is used up.
type faultState struct {
	Fault
	due int // millionths of a request, of those that are not concerned
}

func (fs *faults) add(f Fault) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) >= maxFaults {
		return full("Too many faults", "there are %d", len(fs.list))
	}
	fs.list = append(fs.list, &faultState{Fault: f})
	return nil
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
}

// take returns the fault for a message to the subscription with the given id,
// empty if it is unknown, or nil.
func (fs *faults) take(id string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.list {
		if f.Subscription != "" && f.Subscription != id {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		if f.Share > 0 {
			const whole = 1_000_000
			if f.due += int(math.Round(f.Share * whole)); f.due < whole {
				continue
			}
			f.due -= whole
		}
		taken := f.Fault
		if !f.Always {
			if f.Count--; f.Count == 0 {
				fs.list = slices.Delete(fs.list, i, i+1)
			}
		}
		return &taken
	}
	return nil
}

// answer does what f says and reports whether this was an answer.
func (f *Fault) answer(w http.ResponseWriter, r *http.Request, as *personality, request *Request, s *Service) bool {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	if !f.Reset && f.Status == 0 {
		return false
	}
	if !f.Reset {
		request.Status = f.Status
	}
	s.log.add(*request)
	s.logger.Warn("message met a fault", "status", request.Status, "subscription", short(request.Subscription), "reset", f.Reset)
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
	if f.Body == nil && f.Status >= 400 {
		as.write(w, &Error{Status: f.Status, Message: "Fault: this answer was asked for", header: f.Header, kind: kindFault})
		return true
	}
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(f.Status)
	// Errors are a client that went away, or a status without body.
	_, _ = w.Write(f.Body)
	return true
}
