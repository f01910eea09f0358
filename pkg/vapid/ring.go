package vapid

import "fmt"

// Ring is the application server keys of a site that replaces one by another:
// the first is the current one, with which user agents subscribe, and the others
// sign for the subscriptions that were made with them (RFC 8292, section 4). A
// ring with one key is the usual case.
type Ring []*Key

// NewRing returns a ring of the keys, the current one first. The error is an
// [*Error] if there is none, or one is nil or given twice.
func NewRing(keys ...*Key) (Ring, error) {
	r := Ring(keys)
	if len(r) == 0 {
		return nil, &Error{Part: "key", Problem: "a ring needs a key", hint: "give the key that user agents subscribe with"}
	}
	for i, k := range r {
		if k == nil {
			return nil, &Error{Part: "key", Problem: fmt.Sprintf("key %d of the ring is nil", i+1)}
		}
		if r[:i].Find(k.PublicKey()) != nil {
			return nil, &Error{Part: "key", Problem: fmt.Sprintf("the ring has the key %s twice", k.PublicKey()), hint: "give each key once, the current one first"}
		}
	}
	return r, nil
}

// Current returns the first key, or nil.
func (r Ring) Current() *Key {
	if len(r) == 0 {
		return nil
	}
	return r[0]
}

// Find returns the key with that public key, or nil.
func (r Ring) Find(p PublicKey) *Key {
	for _, k := range r {
		if k != nil && k.PublicKey() == p {
			return k
		}
	}
	return nil
}

// Others returns the keys of the ring but k.
func (r Ring) Others(k *Key) Ring {
	var others Ring
	for _, o := range r {
		if o != k {
			others = append(others, o)
		}
	}
	return others
}
