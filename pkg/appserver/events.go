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
}

// next returns a channel that is closed with the next change of the job.
// forget is called when nobody looks at it any more.
func (n *news) next(id string) (changed <-chan struct{}, forget func()) {
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
	return c.changed, func() {
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
