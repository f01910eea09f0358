package vapid

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

// entry is a value of a configuration file whose name says that it is a key.
type entry struct {
	name    string // unchanged, such as VAPID_PRIVATE_KEY
	private bool
	value   string
}

// forVAPID reports whether the name says what the key is for.
func (e entry) forVAPID() bool {
	name := strings.ToLower(e.name)
	return strings.Contains(name, "vapid") || strings.Contains(name, "push")
}

// keyName matches the names of keys in settings: VAPID_PRIVATE_KEY,
// vapid.private.key, vapid_prv_key, privateKey, "Private Key", privateVapidKey,
// VAPID_PRIVATE.
const keyName = `[A-Za-z0-9_.-]*(?:(?:private|priv|prv|public|pub)[ _.-]?(?:vapid[ _.-]?)?key|vapid[ _.-]?(?:private|public))[A-Za-z0-9_]*`

var (
	isKeyName    = pattern.New(`(?i)^` + keyName + `$`)
	isPrivate    = pattern.New(`(?i)(?:private|priv|prv)[ _.-]?(?:vapid[ _.-]?)?key|vapid[ _.-]?private`)
	assignment   = pattern.New(`(?is)(` + keyName + `)["']?(?:\s*(?:=>|[:=>])\s*|\s+value\s*=\s*|\s+)["']?(-----BEGIN .*?-----END [A-Z ]+-----|[A-Za-z0-9+/_=-]{40,})`)
	section      = pattern.New(`(?i)\[vapid\]|\bvapid["']?\s*[:=]`)
	inSection    = pattern.New(`(?im)^[ \t]*["']?(private|public)["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=-]{40,})`)
	commentLine  = pattern.New(`(?m)^[ \t]*(?:#|//|;|--[ \t]).*$`)
	opensslText  = pattern.New(`(?is)\bpriv:\s*((?:[0-9a-f]{2}:?\s*)+)\s*pub:\s*((?:[0-9a-f]{2}:?\s*)+)`)
	javaScalar   = pattern.New(`(?im)^\s*S:\s*([0-9a-f]{62,66})\s*$`)
	colonHex     = pattern.New(`(?i)^(?:[0-9a-f]{2}:)+[0-9a-f]{2}:?$`)
	spacesColons = strings.NewReplacer(":", "", " ", "", "\n", "", "\r", "", "\t", "")
)

// fromLabels reads a key from text that names it: the lines that key generators
// print, environment and properties files, YAML, and PHP. Comment lines are
// ignored. ok reports whether the text has any such name.
func fromLabels(text string, depth int) (f found, ok bool, err error) {
	if m := opensslText.FindStringSubmatch(text); m != nil {
		f, err = fromPair(spacesColons.Replace(m[1]), spacesColons.Replace(m[2]), "openssl's text", depth)
		return f, true, err
	}
	if m := javaScalar.FindStringSubmatch(text); m != nil {
		f, err = fromPair(m[1], "", "Java's text", depth)
		return f, true, err
	}
	var entries []entry
	for _, m := range assignment.FindAllStringSubmatch(commentLine.ReplaceAllString(text, ""), -1) {
		entries = append(entries, entry{m[1], isPrivate.MatchString(m[1]), m[2]})
	}
	if plain := commentLine.ReplaceAllString(text, ""); entries == nil && section.MatchString(plain) { // [vapid], and private = … below it
		for _, m := range inSection.FindAllStringSubmatch(plain, -1) {
			entries = append(entries, entry{"vapid." + m[1], strings.EqualFold(m[1], "private"), m[2]})
		}
	}
	if len(entries) == 0 {
		return f, false, nil
	}
	f, err = fromEntries(entries, "labeled text", depth)
	return f, true, err
}

// fromNested reads a key from a configuration in JSON, however deep it is.
func fromNested(text string, depth int) (f found, ok bool, err error) {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return f, false, nil
	}
	var entries []entry
	recipient := false
	var visit func(path string, v any)
	visit = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if ofRecipient(v) {
				recipient = true
				return
			}
			if name, value := pair(v); value != "" {
				entries = append(entries, entry{name, isPrivate.MatchString(name), value})
			}
			for _, name := range slices.Sorted(maps.Keys(v)) {
				full := strings.TrimPrefix(path+"."+name, ".")
				if text, isText := v[name].(string); isText && isKeyName.MatchString(name) && text != "" {
					entries = append(entries, entry{full, isPrivate.MatchString(name), text})
				}
				visit(full, v[name])
			}
		case []any:
			for i, v := range v {
				visit(fmt.Sprintf("%s[%d]", path, i), v)
			}
		}
	}
	visit("", v)
	if len(entries) == 0 && recipient {
		return f, true, recipientKeys()
	}
	if len(entries) == 0 {
		return f, false, nil
	}
	f, err = fromEntries(entries, "JSON", depth)
	return f, true, err
}

// ofRecipient reports whether an object has the keys of a message recipient, whose
// private key decrypts and must not sign.
func ofRecipient(v map[string]any) bool {
	_, point := v["p256dh"].(string)
	secret, _ := v["auth"].(string)
	b, err := b64.Decode(secret)
	return point || err == nil && len(b) == 16
}

// keyText matches text that can be a private or a public key in base64.
var keyText = pattern.New(`[A-Za-z0-9+/_-]{42,88}={0,2}`)

// matchingPair finds a private key and its public key in text of any form, such as the
// arguments of a call. ok is false if there is none, or more than one.
func matchingPair(text string) (f found, ok bool) {
	if len(text) > 1<<16 {
		return f, false
	}
	var privates, publics []found
	for _, word := range keyText.FindAllString(commentLine.ReplaceAllString(text, ""), 20) {
		b, err := b64.Decode(word)
		if err != nil || len(b) != PrivateKeySize && len(b) != PublicKeySize {
			continue
		}
		switch k, err := fromBytes(b); {
		case err != nil:
		case k.private != nil:
			privates = append(privates, k)
		default:
			publics = append(publics, k)
		}
	}
	for _, private := range privates {
		for _, public := range publics {
			pair := found{form: "a key pair in text", private: private.private, public: public.public}
			key, err := pair.key()
			switch {
			case err != nil:
			case ok && f.public.String() != key.public.String():
				return found{}, false
			default:
				f, ok = pair, true
			}
		}
	}
	return f, ok
}

// pair returns the name and the value of an object that has them as fields, such as a
// variable in the definition of a container or a parameter of AWS, if the name is a
// key's name.
func pair(v map[string]any) (name, value string) {
	get := func(names ...string) string {
		for _, n := range names {
			if text, ok := v[n].(string); ok {
				return text
			}
		}
		return ""
	}
	name = get("name", "Name", "key", "Key")
	name = name[strings.LastIndexByte(name, '/')+1:]
	if !isKeyName.MatchString(name) {
		return "", ""
	}
	return name, get("value", "Value")
}

// fromEntries chooses among the keys of a configuration: those whose names
// speak of VAPID or push come first, keys of another kind do not count next to
// one that can sign, and two different keys are refused.
func fromEntries(entries []entry, form string, depth int) (found, error) {
	private, err := choose(entries, true, depth)
	if err != nil {
		return found{}, err
	}
	public, err := choose(entries, false, depth)
	if err != nil && private == nil {
		return found{}, err
	}
	if private == nil && public == nil {
		return fromPair(entries[0].value, "", form, depth) // its error describes the value
	}
	text := func(e *entry) string {
		if e == nil {
			return ""
		}
		return e.value
	}
	if private != nil && public != nil && private.forVAPID() != public.forVAPID() {
		public = nil // belongs to another pair
	}
	return fromPair(text(private), text(public), form, depth)
}

// choose returns the private or the public key among the entries, or nil if
// none is of that kind.
func choose(entries []entry, private bool, depth int) (*entry, error) {
	var best []entry
	var first error
	for _, named := range []bool{true, false} {
		for _, e := range entries {
			if e.private != private || e.forVAPID() != named {
				continue
			}
			if _, err := recognize([]byte(e.value), depth+1); err != nil {
				if first == nil {
					first = within(e.name, err)
				}
				if named { // a damaged VAPID key must not give way to another
					return nil, first
				}
				continue
			}
			best = append(best, e)
		}
		if len(best) > 0 {
			break
		}
	}
	if len(best) == 0 {
		return nil, first
	}
	for _, e := range best[1:] {
		if e.value == best[0].value {
			continue
		}
		kind := "public"
		if private {
			kind = "private"
		}
		return nil, refuse(fmt.Sprintf("found two different %s keys, %q and %q", kind, best[0].name, e.name), "pass only the key that the subscriptions were created with")
	}
	return &best[0], nil
}
