package appserver

import "time"

// Routes returns the methods of each path.
func (s *Server) Routes() map[string][]string {
	out := make(map[string][]string)
	for _, rt := range s.table() {
		for m := range rt.methods {
			out[rt.path] = append(out[rt.path], m)
		}
	}
	return out
}

// SetTimes makes what takes many seconds take less.
func (s *Server) SetTimes(read, write, heartbeat time.Duration) {
	s.times.read, s.times.write, s.times.heartbeat = read, write, heartbeat
}

// Streams returns how many streams of events are open.
func (s *Server) Streams() int { return len(s.streams) }

// MaxStreams is how many there are at most.
const MaxStreams = maxStreams

// Waiting returns for how many jobs somebody waits.
func (s *Server) Waiting() int {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return len(s.news.waiting)
}

// SetLease makes leases of parts shorter.
func (s *Server) SetLease(d time.Duration) { s.times.lease = d }

// SetHealthFor sets for how long the result of a probe is used.
func (s *Server) SetHealthFor(d time.Duration) { s.health.keep = d }

// SetUnavailable sets how long to wait while the store is unavailable.
func (s *Server) SetUnavailable(d time.Duration) { s.times.unavailable = d }

// AddReport adds a report; it reports whether there was room.
func (s *Server) AddReport(id string) bool { return s.reports.add(id, Reports{Shown: 1}) }

// WaitingReports returns for how many IDs reports wait.
func (s *Server) WaitingReports() int {
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	return len(s.reports.waiting)
}

// The maximum numbers of test messages in flight, and with a delay.
const (
	MaxTrials  = maxTrials
	MaxDelayed = maxDelayed
)
