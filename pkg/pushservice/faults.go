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

	"github.com/seed81da77dd/webpush/pkg/internal/fields"
)

// Operations of user agents that a [Fault] can make fail.
const (
	// OnRegistration is the registration of a subscription, on any channel.
	OnRegistration = "registration"
	// OnUnregistration is the removal of a subscription by its user agent, on any
	// channel.
	OnUnregistration = "unregistration"
	// OnCheckin is a check-in of Chromium.
	OnCheckin = "checkin"
	// OnLogin is the first message on a connection: a login by MCS, or a hello by
	// WebSocket.
	OnLogin = "login"
)

// RegistrationErrors returns the error codes of Google's responses to registrations
// that Chromium knows.
func RegistrationErrors() []string {
	return []string{
		"PHONE_REGISTRATION_ERROR", "AUTHENTICATION_FAILED", "INTERNAL_SERVER_ERROR", "TOO_MANY_SUBSCRIBERS", "FIS_AUTH_ERROR",
		"INVALID_SENDER", "INVALID_PARAMETERS", "QUOTA_EXCEEDED", "TOO_MANY_REGISTRATIONS", "INVALID_TARGET_VERSION", "DEPRECATED_ENDPOINT",
	}
}

// Fault describes a failure to inject.
type Fault struct {
	// On is the operation that fails; empty means message requests.
	On string
	// Error, with On, is the error code of the response on Chromium's channel: for
	// a registration or unregistration a code such as the [RegistrationErrors], for
	// a login by MCS a number. Other channels have no codes, and refuse the
	// operation in their own words.
	Error string
	// Subscription limits the fault to message requests to the subscription with
	// this ID. If empty, all message requests fail, even to unknown endpoints.
	Subscription string
	// Status is the status code of the response, from 200 to 599. If it is 0, a
	// message request gets its usual response after Delay. An operation of a user
	// agent is then refused, with 500 if its channel has status codes, unless Delay
	// is set.
	Status int
	// Header is added to the response with Status, such as {"Retry-After": "1"}.
	Header map[string]string
	// Body is the body of the response with Status. If nil, a Status of 400 or more
	// has the body of the service's [Personality], and others have none.
	Body []byte
	// Count is the number of requests that fail; 0 means 1.
	Count int
	// Always makes all requests fail until [Service.ClearFaults], and overrides
	// Count.
	Always bool
	// After is the number of requests that get their usual response first.
	After int
	// Share is the fraction of the requests that fail, from 0 to 1, evenly
	// distributed: 0.1 means every tenth request. 0 means all.
	Share float64
	// Delay is the time to wait before the response.
	Delay time.Duration
	// Reset closes the connection (for HTTP/2, the stream) instead of responding.
	Reset bool
}

// faultMessage is the message of a response that a fault has requested.
const faultMessage = "Fault: this response was requested"

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

// check reports values that are out of range or contradict each other.
func (f *Fault) check() error {
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
		return badRequest(invalid, "on and subscription cannot be combined")
	case f.Error != "" && (f.On == OnRegistration || f.On == OnUnregistration) && strings.Trim(f.Error, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "":
		return badRequest(invalid, "error is %q, expected a code such as PHONE_REGISTRATION_ERROR", clip(f.Error))
	case f.Error != "" && f.On == OnLogin && f.loginError() == 0:
		return badRequest(invalid, "error is %q, expected a number, 1 or more", clip(f.Error))
	case f.Error != "" && (f.On == "" || f.On == OnCheckin):
		return badRequest(invalid, "error requires on, with registration, unregistration, or login")
	case f.Status == 0 && f.Delay == 0 && !f.Reset && f.On == "":
		return badRequest(invalid, "status, delay, and reset are missing")
	case f.size() > maxFaultSize:
		return badRequest(invalid, "its body, headers, and error have %s, expected at most %d", bytesOf(f.size()), maxFaultSize)
	}
	for name, value := range f.Header {
		if !fields.IsToken(name) {
			return badRequest(invalid, "%q is not a header name", clip(name))
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return badRequest(invalid, "header %q contains control characters", clip(name))
		}
	}
	return nil
}

// AddFault makes the next message requests, or the next operations of user agents,
// fail as f describes, once earlier faults that apply to them are used up. Other
// requests do not count. The error reports that f has values out of range, that
// its subscription is unknown or has expired, or that there are too many faults.
func (s *Service) AddFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
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

// ClearFaults removes all faults.
func (s *Service) ClearFaults() { s.faults.clear() }

// faults is a queue.
type faults struct {
	mu   sync.Mutex
	list []*faultState
}

// faultState is a fault that is partly used up.
type faultState struct {
	Fault
	due int // share of the next failure that has accumulated, in millionths
}

func (fs *faults) add(f Fault) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) >= maxFaults {
		return full("Too many faults", "there are %d, the maximum", len(fs.list))
	}
	fs.list = append(fs.list, &faultState{Fault: f})
	return nil
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
}

// next returns the fault for an operation, or for a message to the subscription
// with the given ID (empty if unknown), or nil.
func (fs *faults) next(on, id string) *Fault {
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
		found := f.Fault
		if !f.Always {
			if f.Count--; f.Count == 0 {
				fs.list = slices.Delete(fs.list, i, i+1)
			}
		}
		return &found
	}
	return nil
}

// respond does what f describes and reports whether the request has its response.
func (f *Fault) respond(w http.ResponseWriter, r *http.Request, as *personality, request *Request, s *Service) bool {
	f.wait(r.Context())
	if !f.Reset && f.Status == 0 {
		return false
	}
	if !f.Reset {
		request.Status = f.Status
	}
	s.log.add(*request)
	s.logger.Warn("fault injected into a message request", "status", request.Status, "subscription", short(request.Subscription), "reset", f.Reset)
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

// refusal returns the response if the fault has no body.
func (f *Fault) refusal() *Error {
	return &Error{Status: f.Status, Problem: faultMessage, header: f.Header, kind: kindFault}
}

func (f *Fault) write(w http.ResponseWriter) {
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(f.Status)
	// Writing fails if the client has disconnected, or the status allows no body.
	_, _ = w.Write(f.Body)
}

// wait waits for the fault's delay, or until ctx is done.
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

// statusOr500 returns the status of a response that refuses an operation.
func (f *Fault) statusOr500() int {
	if f.Status == 0 {
		return http.StatusInternalServerError
	}
	return f.Status
}

// loginError returns the error code for a login by MCS, or 0.
func (f *Fault) loginError() int32 {
	n, err := strconv.ParseInt(f.Error, 10, 31)
	if err != nil || n < 1 {
		return 0
	}
	return int32(n)
}

// misbehave returns the fault for an operation after its delay, or nil if the
// operation is to succeed.
func (s *Service) misbehave(ctx context.Context, on string) *Fault {
	f := s.faults.next(on, "")
	if f == nil {
		return nil
	}
	s.logger.Warn("fault injected into a "+on, "error", f.Error, "status", f.Status, "delay", f.Delay, "reset", f.Reset)
	f.wait(ctx)
	if f.Status == 0 && f.Error == "" && !f.Reset && f.Delay > 0 {
		return nil
	}
	return f
}

// faulty is misbehave for an HTTP request: it writes the response that the fault
// describes, and reports whether it did. code writes a response with an error code;
// it is nil if the channel has none.
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
