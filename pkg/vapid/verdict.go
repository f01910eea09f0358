package vapid

import "github.com/seed81da77dd/webpush/pkg/internal/text"

// Verdict is the result of [Token.Judge].
type Verdict struct {
	Valid     bool      // no problem is an error
	Signature bool      // the signature matches the key
	Key       PublicKey // the key that came with the token
	Claims    Claims    // zero if they cannot be read, which is among the problems
	Problems  []Problem // most severe first
}

// Judge checks the token like [Token.Check]. If lenient is true, errors that some push
// services overlook are warnings.
func (t *Token) Judge(audience string, lenient bool) Verdict {
	v := Verdict{Valid: true, Signature: true, Key: t.key, Problems: t.Check(audience)}
	for i := range v.Problems {
		p := &v.Problems[i]
		if lenient && p.Overlooked {
			p.Severity = SeverityWarning
		}
		if p.Severity == SeverityError {
			v.Valid = false
		}
		if p.Part == "signature" {
			v.Signature = false
		}
	}
	v.Claims, _ = t.Claims()
	return v
}

// MarshalJSON returns an object with the fields valid, applicationServerKey (base64url
// without padding), claims, and problems.
func (v Verdict) MarshalJSON() ([]byte, error) {
	return text.JSON(struct {
		Valid    bool      `json:"valid"`
		Key      string    `json:"applicationServerKey"`
		Claims   Claims    `json:"claims"`
		Problems []Problem `json:"problems"`
	}{v.Valid, v.Key.String(), v.Claims, append([]Problem{}, v.Problems...)})
}
