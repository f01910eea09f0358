package appserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// transferBatch is the number of records that are stored in one transaction.
const transferBatch = 500

// transferred is a record as Export writes it; Import and bulk sending read it.
type transferred struct {
	ID           string       `json:"id"`
	Subscription subscription `json:"subscription"`
	User         string       `json:"user,omitempty"`
	Tags         []string     `json:"tags,omitempty"`
	Created      *time.Time   `json:"created,omitempty"`
	Key          string       `json:"applicationServerKey,omitempty"`
}

type subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     struct {
		P256DH string `json:"p256dh"`
		Auth   string `json:"auth"`
	} `json:"keys"`
}

// Export writes all subscriptions of a store as JSON lines, including endpoints and
// keys, and returns their number.
func Export(ctx context.Context, store Store, w io.Writer) (n int64, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	for after := int64(0); ; {
		list, err := store.List(ctx, Filter{}, after, 0, pageSize)
		if err != nil {
			return n, err
		}
		if len(list) == 0 {
			return n, out.Flush()
		}
		for _, r := range list {
			t := transferred{ID: r.ID, User: r.User, Tags: r.Tags, Created: &r.Created, Key: r.Key}
			t.Subscription.Endpoint, t.Subscription.Keys.P256DH, t.Subscription.Keys.Auth = r.Endpoint, r.P256DH, r.Auth
			b, err := text.JSON(t)
			if err != nil {
				return n, err
			}
			if _, err := out.Write(append(b, '\n')); err != nil {
				return n, err
			}
			after = r.Seq
			n++
		}
	}
}

// ImportResult is the result of importing one record.
type ImportResult struct {
	Position string `json:"record"`            // position in the input
	ID       string `json:"id,omitempty"`      // ID of the subscription
	State    string `json:"state"`             // created, updated, or invalid
	Problem  string `json:"problem,omitempty"` // why the record is invalid
	Hint     string `json:"hint,omitempty"`    // what to do about it
}

// ImportSummary counts the records of an import.
type ImportSummary struct {
	Created, Updated, Invalid int64 // by ImportResult.State
}

// Import stores the subscriptions of an input, with the user, tags, ID, time of
// creation, and application server key of each record. An invalid record does not affect
// the others. each is called for every record in order; if it returns an error, the
// import stops.
//
// AllowPrivate and Ports of o determine which endpoints are accepted, as for a [Server].
// If o has a Key, only subscriptions created with that key or with OldKeys are accepted.
func Import(ctx context.Context, store Store, in *bulk.Reader, o Options, each func(ImportResult) error) (sum ImportSummary, err error) {
	s := &Server{o: Options{AllowPrivate: o.AllowPrivate, Ports: o.Ports}, client: new(webpush.Client)}
	if o.Key != nil {
		if s.keys, err = newKeys(o.Key, o.OldKeys); err != nil {
			return sum, err
		}
	}
	var results []ImportResult
	var records []Record
	var at []int // index of each record in results
	flush := func() error {
		if len(records) > 0 {
			stored, created, err := store.PutAll(ctx, records)
			if err != nil {
				return err
			}
			for i, r := range stored {
				results[at[i]].ID = r.ID
				if results[at[i]].State = "updated"; created[i] {
					results[at[i]].State = "created"
					sum.Created++
				} else {
					sum.Updated++
				}
			}
		}
		for _, r := range results {
			if err := each(r); err != nil {
				return err
			}
		}
		results, records, at = results[:0], records[:0], at[:0]
		return nil
	}
	for rec, err := range in.Records(ctx) {
		if err != nil {
			return sum, errors.Join(flush(), err)
		}
		r, err := s.imported(rec)
		result := ImportResult{Position: rec.Position(), State: "invalid"}
		if err != nil {
			sum.Invalid++
			result.Problem = err.Error()
			var p *problem
			if errors.As(err, &p) {
				result.Hint = p.Hint
			} else {
				result.Hint = webpush.HintOf(err)
			}
		} else {
			records, at = append(records, r), append(at, len(results))
		}
		if results = append(results, result); len(results) >= transferBatch {
			if err := flush(); err != nil {
				return sum, err
			}
		}
	}
	return sum, flush()
}

// imported returns the record to store for a record of an input.
func (s *Server) imported(rec *bulk.Record) (Record, error) {
	job, err := rec.Job(webpush.Message{}, new(bulk.Keys))
	if err != nil {
		return Record{}, err
	}
	sub := job.Subscription
	r, err := s.recordOf(sub)
	if err != nil {
		return Record{}, err
	}
	var about struct {
		ID      json.RawMessage `json:"id"`
		User    json.RawMessage `json:"user"`
		Tags    json.RawMessage `json:"tags"`
		Created json.RawMessage `json:"created"`
		Key     json.RawMessage `json:"applicationServerKey"`
	}
	_ = json.Unmarshal(rec.Raw, &about) // in other programs, these names may have another meaning
	var id string
	if json.Unmarshal(about.ID, &id) == nil && len(id) >= 20 && checkName("id", id) == nil { // an ID of this program
		r.ID = id
	}
	_ = json.Unmarshal(about.Created, &r.Created)
	var key string
	if s.keys != nil {
		if _, err := s.keys.madeWith(sub); err != nil {
			return Record{}, err
		}
	}
	if own, err := sub.ApplicationServerKey(); err == nil && own != (vapid.PublicKey{}) {
		r.Key = own.String()
	} else if json.Unmarshal(about.Key, &key) == nil {
		if parsed, err := vapid.ParsePublicKey([]byte(key)); err == nil {
			r.Key = parsed.String()
		}
	}
	if len(about.User) > 0 && string(about.User) != "null" {
		if json.Unmarshal(about.User, &r.User) != nil {
			return Record{}, errors.New("the user is not a string")
		}
		if err := checkName("user", r.User); r.User != "" && err != nil {
			return Record{}, err
		}
	}
	if len(about.Tags) > 0 && string(about.Tags) != "null" {
		if json.Unmarshal(about.Tags, &r.Tags) != nil {
			return Record{}, errors.New("tags is not an array of strings")
		}
		if len(r.Tags) > maxTags {
			return Record{}, fmt.Errorf("found %d tags, expected at most %d", len(r.Tags), maxTags)
		}
		for i, tag := range r.Tags {
			if err := checkName(fmt.Sprintf("tags[%d]", i), tag); err != nil {
				return Record{}, err
			}
		}
	}
	return r, nil
}

// Copy copies all subscriptions and all scheduled pushes from one store to another one,
// which is usually empty; existing records with the same endpoint are updated. Finished
// pushes are not copied. If a push is being sent, Copy returns an error.
func Copy(ctx context.Context, from, to Store) (subscriptions, scheduled int64, err error) {
	due, err := from.Unfinished(ctx, 1)
	if err != nil {
		return 0, 0, err
	}
	if len(due) > 0 {
		return 0, 0, webpush.WithHint(fmt.Errorf("the push %s is not finished", due[0].ID), "let the server finish it, or cancel it, before the copy")
	}
	for after := int64(0); ; {
		list, err := from.List(ctx, Filter{}, after, 0, pageSize)
		if err != nil {
			return subscriptions, 0, err
		}
		if len(list) == 0 {
			break
		}
		after = list[len(list)-1].Seq
		if _, _, err := to.PutAll(ctx, list); err != nil {
			return subscriptions, 0, err
		}
		subscriptions += int64(len(list))
	}
	for before := int64(0); ; {
		list, err := from.Jobs(ctx, before, pageSize)
		if err != nil || len(list) == 0 {
			return subscriptions, scheduled, err
		}
		for _, j := range list {
			before = j.Seq
			if j.State != Scheduled {
				continue
			}
			if _, err := to.FindJob(ctx, j.ID); err == nil { // copied before an interruption
				continue
			} else if !errors.Is(err, ErrNotFound) {
				return subscriptions, scheduled, err
			}
			if _, err := to.CreateJob(ctx, j); err != nil {
				return subscriptions, scheduled, err
			}
			scheduled++
		}
	}
}

// importSubscriptions handles POST /subscriptions. The results are sent after the body
// has been read, because many clients do not read before they have sent everything.
func (s *Server) importSubscriptions(w http.ResponseWriter, r *http.Request) error {
	if err := notCompressed(r); err != nil {
		return err
	}
	switch contentType(r) {
	case "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "text/csv", "text/tab-separated-values":
	default:
		return refuse(http.StatusUnsupportedMediaType, "unsupported-type", "the Content-Type is %q, expected application/x-ndjson, application/json, or text/csv", clip(r.Header.Get("Content-Type"))).
			in("Content-Type").with("Accept", "application/x-ndjson, application/json, text/csv, text/tab-separated-values")
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // an import may take minutes
	_ = c.SetWriteDeadline(time.Time{})
	in, err := bulk.Open(bulk.Source{Name: "body", Stream: r.Body})
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid-input", "%v", err).in("body")
	}
	defer in.Close()
	spool, err := os.CreateTemp("", "webpush-import-*") // positions and IDs, no secrets
	if err != nil {
		return err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	out := bufio.NewWriter(spool)
	sum, err := Import(r.Context(), s.store, in, s.o, func(result ImportResult) error {
		b, err := text.JSON(result)
		if err == nil {
			_, err = out.Write(append(b, '\n'))
		}
		return err
	})
	if err != nil {
		var broken *bulk.Error
		if sum == (ImportSummary{}) && errors.As(err, &broken) {
			return refuse(http.StatusBadRequest, "invalid-input", "%v", err).in("body")
		}
		if sum == (ImportSummary{}) {
			return err
		}
		b, _ := text.JSON(ImportResult{Position: "body", State: "invalid", Problem: "the import stopped early: " + asProblem(err).Detail})
		_, _ = out.Write(append(b, '\n'))
		s.log.Error("the import stopped early", "error", err)
	}
	s.log.Info("subscriptions imported", "created", sum.Created, "updated", sum.Updated, "invalid", sum.Invalid)
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_, _ = io.Copy(w, spool) // an error means that the client went away
	return nil
}

// wantsLines reports whether a request asks for JSON lines.
func wantsLines(r *http.Request) bool {
	for accept := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		kind, _, _ := mime.ParseMediaType(accept)
		if kind == "application/x-ndjson" {
			return true
		}
	}
	return false
}

// exportSubscriptions handles GET /subscriptions for JSON lines.
func (s *Server) exportSubscriptions(w http.ResponseWriter, r *http.Request) error {
	if _, err := newQuery(r); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	if r.Method == http.MethodHead {
		return nil
	}
	first := &firstWrite{w: w}
	if _, err := Export(r.Context(), s.store, first); err != nil {
		if !first.done {
			return err
		}
		s.log.Error("the export stopped early", "error", err)
		panic(http.ErrAbortHandler) // shows the client that the response is incomplete
	}
	return nil
}

// firstWrite records whether something was written.
type firstWrite struct {
	w    io.Writer
	done bool
}

func (f *firstWrite) Write(b []byte) (int, error) {
	f.done = f.done || len(bytes.TrimSpace(b)) > 0
	return f.w.Write(b)
}
