package appserver

import "sync"

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
