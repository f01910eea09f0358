package backend

import "sync"

// news tells those who wait that a job has changed.
type news struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// next returns a channel that is closed with the next change of the job.
func (n *news) next(id string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.waiting[id]
	if c == nil {
		c = make(chan struct{})
		if n.waiting == nil {
			n.waiting = make(map[string]chan struct{})
		}
		n.waiting[id] = c
	}
	return c
}

// tell tells of a change.
func (n *news) tell(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.waiting[id]; c != nil {
		close(c)
		delete(n.waiting, id)
	}
}
