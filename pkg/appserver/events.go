package appserver

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// eventEvery is the minimum time between two events of a stream.
const eventEvery = 300 * time.Millisecond

// news notifies readers of changes of jobs.
type news struct {
	mu      sync.Mutex
	waiting map[string]*notice
}

// notice is the notification of the next change of a job.
type notice struct {
	changed chan struct{} // closed when the job changes
	readers int

	mu    sync.Mutex
	event []byte // the job before the change, shared by all readers; nil until it is loaded
	last  bool
}

// read returns the event with the state of the job before the next change. It is loaded
// once for all readers that wait for the change.
func (c *notice) read(load func() (event []byte, last bool, err error)) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.event == nil {
		event, last, err := load()
		if err != nil {
			return nil, false, err
		}
		c.event, c.last = event, last
	}
	return c.event, c.last, nil
}

// next returns the notice of the next change of the job. The caller calls forget when it
// no longer needs the notice.
func (n *news) next(id string) (next *notice, forget func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.waiting[id]
	if c == nil {
		c = &notice{changed: make(chan struct{})}
		if n.waiting == nil {
			n.waiting = make(map[string]*notice)
		}
		n.waiting[id] = c
	}
	c.readers++
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if c.readers--; c.readers == 0 && n.waiting[id] == c {
			delete(n.waiting, id)
		}
	}
}

// changed notifies the readers of a job.
func (n *news) changed(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.waiting[id]; c != nil {
		close(c.changed)
		delete(n.waiting, id)
	}
}

// allChanged notifies the readers of all jobs.
func (n *news) allChanged() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, c := range n.waiting {
		close(c.changed)
		delete(n.waiting, id)
	}
}

// pushEvents streams the state of a job, immediately and after each change, as events
// named progress; the last one is named end.
func (s *Server) pushEvents(w http.ResponseWriter, r *http.Request) error {
	j, err := s.findJob(r)
	if err != nil {
		return err
	}
	free, ok := enter(s.streams)
	if !ok {
		return refuse(http.StatusServiceUnavailable, "too-many-streams", "%d streams of events are open already", maxStreams).with("Retry-After", "10")
	}
	defer free()
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // the server's own deadline would end the request
	send := func(b []byte) bool {
		_ = c.SetWriteDeadline(time.Now().Add(s.times.heartbeat)) // instead of the server's own
		_, err := w.Write(b)
		if err != nil || c.Flush() != nil {
			return false
		}
		// HTTP/2 ends a stream at its deadline even if nothing is being written, so
		// the deadline must be well after the next heartbeat.
		_ = c.SetWriteDeadline(time.Now().Add(2 * s.times.heartbeat))
		return true
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead || !send([]byte("retry: 2000\n\n")) {
		return nil
	}
	beat := time.NewTicker(s.times.heartbeat)
	defer beat.Stop()
	for {
		next, forget := s.news.next(j.ID)
		on, err := s.event(r, send, j.ID, next, beat.C)
		forget()
		if err != nil || !on {
			return err
		}
	}
}

// event sends a job's state and waits for its next change, with heartbeats. on reports
// whether more events follow.
func (s *Server) event(r *http.Request, send func(b []byte) bool, id string, next *notice, beat <-chan time.Time) (on bool, err error) {
	event, last, err := next.read(func() ([]byte, bool, error) {
		j, err := s.store.FindJob(r.Context(), id)
		if err != nil {
			return nil, false, err
		}
		b, err := text.JSON(showJob(j))
		name := "progress"
		if j.State.Over() {
			name = "end"
		}
		return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, b), j.State.Over(), err
	})
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return false, err
	}
	if !send(event) || last {
		return false, nil
	}
	pause := time.After(eventEvery)
	for waiting := true; waiting; {
		select {
		case <-next.changed:
			waiting = false
		case <-beat:
			if !send([]byte(": still here\n\n")) {
				return false, nil
			}
		case <-s.closed:
			return false, nil
		case <-r.Context().Done():
			return false, nil
		}
	}
	select {
	case <-pause:
		return true, nil
	case <-s.closed:
	case <-r.Context().Done():
	}
	return false, nil
}
