package pushservice

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Error numbers of autopush that say more than the status code.
const (
	noErrno          = 0
	errnoNotFound    = 102
	errnoTooLarge    = 104
	errnoGone        = 106
	errnoVAPID       = 109
	errnoEncryption  = 110
	errnoTTL         = 111
	errnoTopic       = 113
	errnoTTLNegative = 114
	errnoStorage     = 201
)

// moreInfo is autopush's constant value of the field more_info.
const moreInfo = "http://autopush.readthedocs.io/en/latest/http.html#error-codes"

// Error reports why the service refused a request, as in its response.
type Error struct {
	// Status is the HTTP status code.
	Status int
	// Errno is autopush's number for the kind of error, or 0.
	Errno int
	// Problem describes the problem, beginning with autopush's own words if it has
	// any, such as "Missing TTL value". It contains no secrets.
	Problem string

	header map[string]string
	kind   kind
}

// kind is the kind of problem, more specific than Status and Errno, for the
// personalities.
type kind int

const (
	kindOther kind = iota
	kindPath
	kindGone
	kindFull
	kindFault
	kindTooLarge
	kindTTL
	kindUrgency
	kindTopic
	kindEncryption
	kindUnknownEncoding

	// Problems with the token begin here; see isToken.
	kindNoToken
	kindHeader // the Authorization header is malformed
	kindBadKey
	kindMismatch
	kindToken // any other problem, such as a wrong signature
	kindAudience
	kindNoExpires
	kindExpired
	kindLifetime
	kindSubject
)

func (k kind) isToken() bool { return k >= kindNoToken }

// as sets the kind.
func (e *Error) as(k kind) *Error {
	e.kind = k
	return e
}

// Error returns the problem.
func (e *Error) Error() string { return e.Problem }

// MarshalJSON writes the five fields of an error of autopush: code, errno (null if
// it is 0), error, message, and more_info.
func (e *Error) MarshalJSON() ([]byte, error) {
	var errno *int
	if e.Errno != noErrno {
		errno = &e.Errno
	}
	return text.JSON(struct {
		Code     int    `json:"code"`
		Errno    *int   `json:"errno"`
		Error    string `json:"error"`
		Message  string `json:"message"`
		MoreInfo string `json:"more_info"`
	}{e.Status, errno, http.StatusText(e.Status), e.Problem, moreInfo})
}

// refuse returns an Error with a message: what, which names the rule, and details.
func refuse(status, errno int, what, format string, a ...any) *Error {
	return &Error{Status: status, Errno: errno, Problem: what + ": " + fmt.Sprintf(format, a...)}
}

func notFound(what, format string, a ...any) *Error {
	return refuse(http.StatusNotFound, errnoNotFound, what, format, a...).as(kindPath)
}

func badRequest(what, format string, a ...any) *Error {
	return refuse(http.StatusBadRequest, noErrno, what, format, a...)
}

func badEncryption(what, format string, a ...any) *Error {
	return refuse(http.StatusBadRequest, errnoEncryption, what, format, a...).as(kindEncryption)
}

func unauthorized(k kind, what, format string, a ...any) *Error {
	return refuse(http.StatusUnauthorized, errnoVAPID, what, format, a...).as(k)
}

func gone() *Error {
	e := refuse(http.StatusGone, errnoGone, "No such subscription", "it has expired").as(kindGone)
	e.header = map[string]string{"Cache-Control": "max-age=86400"}
	return e
}

// full returns the response for a limit of this service, which can pass as messages
// are received or expire.
func full(what, format string, a ...any) *Error {
	e := refuse(http.StatusTooManyRequests, noErrno, what, format, a...).as(kindFull)
	e.header = map[string]string{"Retry-After": "60"}
	return e
}

func notAllowed(r *http.Request, allow string) *Error {
	e := refuse(http.StatusMethodNotAllowed, noErrno, "Invalid method", "%s is not allowed here, expected %s", clip(r.Method), allow)
	e.header = map[string]string{"Allow": allow}
	return e
}

// asError converts any error to an Error.
func asError(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return refuse(http.StatusInternalServerError, noErrno, "Internal error", "%v", err)
}

func writeError(w http.ResponseWriter, err error) {
	e := asError(err)
	for name, value := range e.header {
		w.Header().Set(name, value)
	}
	writeJSON(w, e.Status, e)
}

// responseTimeout is the time limit for sending a response.
const responseTimeout = 2 * time.Minute

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := text.JSON(v)
	if err != nil { // not possible with the values of this package
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	// For a list of messages that the client does not read. This fails if w has no
	// deadlines.
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(responseTimeout))
	defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	w.WriteHeader(status)
	// Writing fails if the client has disconnected.
	_, _ = w.Write(append(b, '\n'))
}

// clip shortens values of requests for messages that quote them.
func clip(s string) string { return text.Clip(s, 64) }
