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

// SetTimes shortens timeouts.
func (s *Server) SetTimes(read, write, heartbeat time.Duration) {
	s.times.read, s.times.write, s.times.heartbeat = read, write, heartbeat
}

// Streams returns the number of open event streams.
func (s *Server) Streams() int { return len(s.streams) }

// MaxStreams is the maximum number of event streams.
const MaxStreams = maxStreams

// Waiting returns the number of jobs with waiting readers.
func (s *Server) Waiting() int {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return len(s.news.waiting)
}

// SetLease sets the lease of parts.
func (s *Server) SetLease(d time.Duration) { s.times.lease = d }

// SetHealthFor sets how long the result of a probe is reused.
func (s *Server) SetHealthFor(d time.Duration) { s.health.keep = d }

// SetUnavailable sets how long to wait while the store is unavailable.
func (s *Server) SetUnavailable(d time.Duration) { s.times.unavailable = d }

// SetTestTimeout sets the time limit of a test message.
func (s *Server) SetTestTimeout(d time.Duration) { s.times.test = d }

// AddReport adds a report, and reports whether there was room for it.
func (s *Server) AddReport(id string) bool { return s.reports.add(id, Reports{Shown: 1}) }

// WaitingReports returns the number of IDs with unrecorded reports.
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
