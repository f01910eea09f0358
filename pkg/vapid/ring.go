package vapid

import "fmt"

// Ring holds the application server keys of a site that replaces its key. The
// first is the current key, which user agents subscribe with. The others sign
// for the subscriptions that were created with them (RFC 8292, section 4). A
// ring with one key is the usual case.
type Ring []*Key

// NewRing returns a ring of the keys, the current one first. It returns an
// [*Error] if no key is given, or if a key is nil or given twice.
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
			return nil, &Error{Part: "key", Problem: fmt.Sprintf("the ring has the key %s twice", k.PublicKey()), hint: "pass each key once, the current one first"}
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

// Others returns the keys of the ring except k.
func (r Ring) Others(k *Key) Ring {
	var others Ring
	for _, o := range r {
		if o != k {
			others = append(others, o)
		}
	}
	return others
}
