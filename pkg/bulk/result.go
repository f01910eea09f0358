package bulk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Result is the result of a record, as the results file has it: one JSON object on
// each line.
type Result struct {
	Index   int64           `json:"index"`             // position in the input, from 0
	ID      json.RawMessage `json:"id,omitempty"`      // ID of the record, as it was read
	File    string          `json:"file,omitempty"`    // file of the record
	Line    int64           `json:"line,omitempty"`    // line where the record begins, from 1
	Element int64           `json:"element,omitempty"` // position in an array, from 1
	Origin  string          `json:"origin,omitempty"`  // origin of the endpoint
	Service webpush.Service `json:"service,omitempty"` // the push service
	// EndpointHash is [webpush.Subscription.Hash]. Endpoint is a secret and is
	// empty unless it was asked for.
	EndpointHash string        `json:"endpointHash,omitempty"`
	Endpoint     string        `json:"endpoint,omitempty"`
	Class        webpush.Class `json:"class"`              // what the result means
	Status       int           `json:"status,omitempty"`   // HTTP status of the last response
	Code         webpush.Code  `json:"code,omitempty"`     // kind of a failure
	Reason       string        `json:"reason,omitempty"`   // cause of a failure
	Hint         string        `json:"hint,omitempty"`     // what to do about it
	Attempts     int           `json:"attempts,omitempty"` // number of requests
	TTL          *int64        `json:"ttl,omitempty"`      // TTL that the service granted, in seconds
	Location     string        `json:"location,omitempty"` // URL of the message at the push service; a secret
	Note         string        `json:"note,omitempty"`     // what is unusual about a success
	// VAPIDKey is the application server key that the subscription was made with,
	// if the run had several and it was not the current one: use it as the record's
	// vapidKey.
	VAPIDKey  string  `json:"vapidKey,omitempty"`
	LatencyMs float64 `json:"latencyMs,omitempty"` // duration of the last request, in milliseconds
}

// NewResult returns the result of a record that client sent, including the endpoint if
// endpoint is set.
func NewResult(client *webpush.Client, r *webpush.Result, rec *Record, endpoint bool) Result {
	l := Result{Index: rec.Index, ID: rec.ID, File: rec.File, Line: rec.Line, Element: rec.Element, Class: r.Class, Attempts: r.Attempts,
		LatencyMs: math.Round(r.Latency.Seconds()*1e4) / 10}
	if sub := r.Job.Subscription; sub != nil {
		l.Origin, l.Service, l.EndpointHash = sub.Origin(), sub.Service(), sub.Hash()
		if endpoint {
			l.Endpoint = sub.Endpoint()
		}
	}
	if receipt := r.Receipt; receipt != nil {
		l.Status, l.Location, l.Note = receipt.Status, receipt.Location, receipt.Note
		if receipt.TTL != nil {
			seconds := int64(receipt.TTL.Seconds())
			l.TTL = &seconds
		}
		if old := client.ReplacedKey(receipt); !old.IsZero() {
			l.VAPIDKey = old.String()
		}
	}
	var rejection *webpush.Error
	if errors.As(r.Err, &rejection) {
		l.Status, l.Code = rejection.Status, rejection.Code
	}
	if r.Err != nil {
		l.Reason, l.Hint = r.Err.Error(), webpush.HintOf(r.Err)
	}
	return l
}

// line returns the result as a line of a file.
func (l Result) line() ([]byte, error) {
	b, err := text.JSON(l)
	return append(printable.JSON(b), '\n'), err
}

// ReadResults yields the results that a run wrote to Options.Results or Options.Output:
// JSON objects, one after the other. It stops at the first error.
func ReadResults(r io.Reader) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		d := json.NewDecoder(bufio.NewReader(r))
		for n := 1; ; n++ {
			var l Result
			err := d.Decode(&l)
			if errors.Is(err, io.EOF) {
				return
			}
			var syntax *json.SyntaxError
			var kind *json.UnmarshalTypeError
			switch {
			case err == nil:
			case errors.As(err, &kind) && kind.Field != "":
				err = fmt.Errorf("result %d has the field %q with a value of another type", n, kind.Field)
			case errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, io.ErrUnexpectedEOF):
				err = fmt.Errorf("result %d is not a JSON object", n)
			default:
				err = fmt.Errorf("result %d: %w", n, err)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}
