package pushservice

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The operations of user agents that a [Fault] can concern.
const (
	// OnRegistration is a registration of a subscription, by any channel.
	OnRegistration = "registration"
	// OnUnregistration is the end of a subscription that its user agent asks for,
	// by any channel.
	OnUnregistration = "unregistration"
	// OnCheckin is a check-in of Chromium.
	OnCheckin = "checkin"
	// OnLogin is the beginning of a connection: a login by MCS, or a hello by
	// WebSocket.
	OnLogin = "login"
)

// RegistrationErrors returns the error codes with which Google refuses
// registrations of Chromium, as far as Chromium knows them.
func RegistrationErrors() []string {
	return []string{
		"PHONE_REGISTRATION_ERROR", "AUTHENTICATION_FAILED", "INTERNAL_SERVER_ERROR", "TOO_MANY_SUBSCRIBERS", "FIS_AUTH_ERROR",
		"INVALID_SENDER", "INVALID_PARAMETERS", "QUOTA_EXCEEDED", "TOO_MANY_REGISTRATIONS", "INVALID_TARGET_VERSION", "DEPRECATED_ENDPOINT",
	}
}

// Fault is how the service misbehaves on request.
type Fault struct {
	// On is the operation that is concerned; empty is a message request.
	On string
	// Error, with On, refuses the operation by the means of its channel: a
	// registration or unregistration of Chromium with that error code, such as one
	// of [RegistrationErrors], and a login by MCS with that number. Other channels
	// have no codes: they refuse it in their own words.
	Error string
	// Subscription is the id of the one whose messages are concerned; empty for
	// all message requests, those to unknown endpoints included.
	Subscription string
	// Status is the status code to answer, from 200 to 599. If it is 0 the
	// request is answered as usual, after Delay; an operation of user agents is
	// refused, with 500 where it has a status, unless there is a Delay.
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

const (
	// maxFaults is the maximum number of faults in effect, and maxFaultSize the
	// maximum size of the texts of one, in bytes.
	maxFaults    = 1000
	maxFaultSize = 64 << 10
)

// size returns the size of the texts, in bytes.
func (f *Fault) size() int {
	n := len(f.Error) + len(f.Body)
	for name, value := range f.Header {
		n += len(name) + len(value)
	}
	return n
}

// AddFault makes the next message requests, or the next operations of user
// agents, fail as f says, after earlier faults that concern them are used up.
// Other requests do not count. The error is that
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
	case f.On != "" && !slices.Contains([]string{OnRegistration, OnUnregistration, OnCheckin, OnLogin}, f.On):
		return badRequest(invalid, "on is %q, expected registration, unregistration, checkin, or login", clip(f.On))
	case f.On != "" && f.Subscription != "":
		return badRequest(invalid, "it has both on and subscription")
	case f.Error != "" && (f.On == OnRegistration || f.On == OnUnregistration) && strings.Trim(f.Error, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "":
		return badRequest(invalid, "error is %q, expected a code such as PHONE_REGISTRATION_ERROR", clip(f.Error))
	case f.Error != "" && f.On == OnLogin && f.loginError() == 0:
		return badRequest(invalid, "error is %q, expected a number, 1 or more", clip(f.Error))
	case f.Error != "" && (f.On == "" || f.On == OnCheckin):
		return badRequest(invalid, "error requires on, with registration, unregistration, or login")
	case f.Status == 0 && f.Delay == 0 && !f.Reset && f.On == "":
		return badRequest(invalid, "it has neither status nor delay nor reset")
	case f.size() > maxFaultSize:
		return badRequest(invalid, "its body, headers, and error have %s, expected at most %d", bytesOf(f.size()), maxFaultSize)
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

// take returns the fault for an operation, or for a message to the subscription
// with the given id, empty if it is unknown, or nil.
func (fs *faults) take(on, id string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.list {
		if f.On != on || f.Subscription != "" && f.Subscription != id {
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
	f.wait(r.Context())
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
		as.write(w, f.refusal())
		return true
	}
	f.write(w)
	return true
}

// refusal is the answer without a body of the fault's own.
func (f *Fault) refusal() *Error {
	return &Error{Status: f.Status, Message: "Fault: this answer was asked for", header: f.Header, kind: kindFault}
}

func (f *Fault) write(w http.ResponseWriter) {
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(f.Status)
	// Errors are a client that went away, or a status without body.
	_, _ = w.Write(f.Body)
}

// wait waits as long as the fault says, or until ctx is done.
func (f *Fault) wait(ctx context.Context) {
	if f.Delay <= 0 {
		return
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// statusOr500 is the status of an answer that has no other means to refuse.
func (f *Fault) statusOr500() int {
	if f.Status == 0 {
		return http.StatusInternalServerError
	}
	return f.Status
}

// loginError is the error code of a login by MCS, or 0.
func (f *Fault) loginError() int32 {
	n, err := strconv.ParseInt(f.Error, 10, 31)
	if err != nil || n < 1 {
		return 0
	}
	return int32(n)
}

// misbehave takes the fault for an operation, waits as long as it says, and
// returns it, or nil if the operation is to go on.
func (s *Service) misbehave(ctx context.Context, on string) *Fault {
	f := s.faults.take(on, "")
	if f == nil {
		return nil
	}
	s.logger.Warn(on+" met a fault", "error", f.Error, "status", f.Status, "delay", f.Delay, "reset", f.Reset)
	f.wait(ctx)
	if f.Status == 0 && f.Error == "" && !f.Reset && f.Delay > 0 {
		return nil
	}
	return f
}

// faulty is misbehave for an operation that is an HTTP request: it answers as the
// fault says, and reports whether it has. code writes an answer with an error
// code, and is nil if there are none.
func (s *Service) faulty(w http.ResponseWriter, r *http.Request, on string, code func(*Fault)) bool {
	f := s.misbehave(r.Context(), on)
	switch {
	case f == nil:
		return false
	case f.Reset:
		panic(http.ErrAbortHandler)
	case f.Error != "" && code != nil:
		code(f)
	default:
		if f.Status = f.statusOr500(); f.Body == nil && f.Status >= 400 {
			writeError(w, f.refusal())
		} else {
			f.write(w)
		}
	}
	return true
}
