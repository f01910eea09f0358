package appserver

import "sync"

// news tells those who wait that a job has changed.
type news struct {
	mu      sync.Mutex
	waiting map[string]*notice
}

// notice is of one change of one job.
type notice struct {
	changed chan struct{}
	readers int

	mu    sync.Mutex
	event []byte // the job before that change, for all readers; nil before it is made
	last  bool
}

// read returns the event that says what the job is before the next change. It is
// made once for all that wait for the change.
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

// next returns the notice of the next change of the job, whose channel is closed
// then. forget is called when nobody looks at it any more.
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

// tell tells of a change.
func (n *news) tell(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.waiting[id]; c != nil {
		close(c.changed)
		delete(n.waiting, id)
	}
}

// tellAll tells of a change of any job.
func (n *news) tellAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, c := range n.waiting {
		close(c.changed)
		delete(n.waiting, id)
	}
}
