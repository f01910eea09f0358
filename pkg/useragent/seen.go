package useragent

// maxSeen is the number of last versions that are remembered to recognize a
// repeated message; Firefox remembers 100.
const maxSeen = 1024

// maxKept is the number of acknowledged versions that are kept across restarts:
// autopush can repeat a batch of about 10, and up to 150 before it forgets the
// user agent.
const maxKept = 300

// seen holds the last versions that arrived, each with the code that acknowledged
// it, 0, or dropped. The zero value is empty.
type seen struct {
	codes map[string]int
	order []string // a ring buffer when full
	next  int
}

// dropped is the code of a version that nobody received.
const dropped = -1

// restore remembers the last acknowledged versions of an earlier run.
func (s *seen) restore(acknowledged []string) {
	for _, version := range acknowledged[max(0, len(acknowledged)-maxKept):] {
		s.add(version)
		s.acked(version, ackDelivered)
	}
}

// add remembers a version that find does not find, and forgets the oldest if there
// are too many.
func (s *seen) add(version string) {
	if s.codes == nil {
		s.codes = make(map[string]int)
	}
	if _, ok := s.codes[version]; ok {
		s.codes[version] = 0
		return
	}
	if len(s.order) < maxSeen {
		s.order = append(s.order, version)
	} else {
		delete(s.codes, s.order[s.next])
		s.order[s.next] = version
		s.next = (s.next + 1) % maxSeen
	}
	s.codes[version] = 0
}

// find returns the code of a version, and whether it is remembered.
func (s *seen) find(version string) (code int, ok bool) {
	code, ok = s.codes[version]
	return code, ok && code != dropped
}

// drop makes a version new again when it arrives the next time.
func (s *seen) drop(version string) { s.codes[version] = dropped }

// acked notes that a version is acknowledged.
func (s *seen) acked(version string, code int) {
	if _, ok := s.codes[version]; ok {
		s.codes[version] = code
	}
}

// kept returns the last acknowledged versions, oldest first, at most maxKept.
func (s *seen) kept() []string {
	var list []string
	for i := range s.order {
		version := s.order[(s.next+i)%len(s.order)]
		if s.codes[version] > 0 {
			list = append(list, version)
		}
	}
	return list[max(0, len(list)-maxKept):]
}
