package useragent

// maxSeen is how many of the last versions are remembered to know a repeated
// message by; Firefox remembers 100.
const maxSeen = 1024

// maxKept is how many of them are kept over restarts, if they are acknowledged:
// autopush can repeat a batch of about 10, and up to 150 before it forgets the
// user agent.
const maxKept = 300

// seen are the last versions that arrived, each with the code that acknowledged
// it, 0, or dropped. The zero value is empty.
type seen struct {
	codes map[string]int
	order []string // a ring once it is full
	next  int
}

// dropped is the code of a version that nobody got.
const dropped = -1

// add remembers a version that find does not find, and forgets the oldest if there are too many.
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

// drop has a version taken for new when it comes again.
func (s *seen) drop(version string) { s.codes[version] = dropped }

// acked notes that a version is acknowledged.
func (s *seen) acked(version string, code int) {
	if _, ok := s.codes[version]; ok {
		s.codes[version] = code
	}
}

// kept returns the last versions that are acknowledged, oldest first, at most
// maxKept.
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
