package backend

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
