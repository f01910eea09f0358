package inspect

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Explanation is the meaning of a response for one push service that may have sent it.
type Explanation struct {
	// Service is the push service, or [webpush.Other] for all without a meaning of their own.
	Service webpush.Service `json:"service"`
	// Status is the status of the response, or 0 if only its words are known, and they
	// can come with more than one.
	Status int `json:"status,omitempty"`
	// Code is the reason, or "" if the message was accepted.
	Code    webpush.Code `json:"code,omitempty"`
	Errno   int          `json:"errno,omitempty"`  // the service's own error number, or 0
	Reason  string       `json:"reason,omitempty"` // the service's own words, on one line; of an endpoint only its origin
	Meaning string       `json:"meaning"`
	Note    string       `json:"note,omitempty"` // anything unusual about an acceptance
	Hint    string       `json:"hint,omitempty"` // the next step
	// Gone reports whether the subscription can be deleted, and Temporary whether the
	// same message may be accepted later.
	Gone       bool    `json:"gone"`
	Temporary  bool    `json:"temporary"`
	RetryAfter float64 `json:"retryAfter,omitempty"` // the seconds to wait, or 0
	// Checklist has the possible reasons why an accepted message is not shown, the most
	// likely first.
	Checklist []string `json:"checklist,omitempty"`
}

// Explain returns the meaning of the response. If service is "", and the response does
// not identify the push service either, there is one Explanation for each service that
// gives the response a meaning of its own, and one for all others. A response without a
// status is explained by its words; the result is empty if no push service is known to
// use them.
func (r Response) Explain(service webpush.Service) []Explanation {
	given := service != ""
	if !given {
		service = r.Service()
	}
	var list []*webpush.Error
	switch first := webpush.Explain(service, r.Status, r.Header, r.Body); {
	case r.Status == 0:
		for _, e := range webpush.ExplainReason(string(r.Body)) {
			if service == webpush.Other || service == e.Service {
				list = append(list, e)
			}
		}
	case first.Code == webpush.CodeOtherServer:
		list = append(list, first)
	case r.Status/100 == 2:
		accepted := webpush.ExplainAccepted(service, r.Status, r.Header)
		return []Explanation{{Service: service, Status: r.Status, Meaning: accepted.Meaning(), Note: accepted.Note, Checklist: accepted.Checklist(),
			Hint: "accepted does not mean delivered: push services do not report delivery"}}
	case service == webpush.Other && !given:
		list = webpush.ExplainAll(r.Status, r.Header, r.Body)
	default:
		list = append(list, first)
	}
	var explanations []Explanation
	for _, e := range list {
		reason := redactEndpoints(e.Reason, r.Status == 0)
		explanations = append(explanations, Explanation{Service: e.Service, Status: e.Status, Code: e.Code, Errno: e.Errno, Reason: reason, Meaning: e.Problem, Hint: e.Hint(),
			Gone: e.Gone(), Temporary: e.Temporary(), RetryAfter: e.RetryAfter.Seconds()})
	}
	return explanations
}

// Accepted reports whether the push service accepted the message.
func (e *Explanation) Accepted() bool { return e.Code == "" }

// Phrase returns the status with its name, such as "410 Gone", or "".
func (e *Explanation) Phrase() string {
	if e.Status == 0 {
		return ""
	}
	return phrase(e.Status)
}

// phrase returns a status with its name.
func phrase(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}
