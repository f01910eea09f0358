package vapid

// Severity is the importance of a [Problem], and of the findings of the packages
// that check more than tokens.
type Severity int

// The severities, from the least to the most severe.
const (
	SeverityNote    Severity = iota // worth knowing; the message goes through
	SeverityWarning                 // may keep the message from arriving, or is rejected by some
	SeverityError                   // the message is rejected or cannot be read
)

// String returns "note", "warning", or "error".
func (s Severity) String() string {
	switch s {
	case SeverityNote:
		return "note"
	case SeverityWarning:
		return "warning"
	}
	return "error"
}

// MarshalText returns String, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
