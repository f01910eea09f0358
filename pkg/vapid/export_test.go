package vapid

// Kept returns how many tokens a signer keeps.
func Kept(s *Signer) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens.byOrigin)
}
