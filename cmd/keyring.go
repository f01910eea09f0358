package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// keyRingUsage is the help of a -k that may be repeated.
const keyRingUsage = privateKeyUsage + "; repeat for the keys that it has replaced"

// addRingFlags adds -k, which may be repeated: the first key is the current one,
// the others sign for subscriptions that were made with them.
func (k *keyFlag) addRingFlags(c *cobra.Command) { k.addFlag(c, keyRingUsage) }

func (k *keyFlag) addFlag(c *cobra.Command, use string) {
	k.cmd, k.value = c, defaultPrivateKey
	c.Flags().VarP(k, "private-key", "k", use)
	asSetting(c.Flags(), "private-key")
}

// keyFlag is a pflag.SliceValue: it may be repeated, and a settings file may have a
// list.

// Set sets the key of one -k.
func (k *keyFlag) Set(v string) error {
	switch {
	case k.changed && k.single:
		return errors.New("the command signs with one key, found a second one")
	case k.changed:
		k.replaced = append(k.replaced, v)
	default:
		k.value, k.replaced, k.changed = v, nil, true
	}
	return nil
}

// String joins the keys in the form of the environment variable. A value that may be
// a key itself is not shown.
func (k *keyFlag) String() string {
	var list []string
	for _, v := range k.GetSlice() {
		list = append(list, shown(v))
	}
	return strings.Join(list, string(os.PathListSeparator))
}

// Type is the type of one value.
func (*keyFlag) Type() string { return "string" }

// Append adds a key.
func (k *keyFlag) Append(v string) error { return k.Set(v) }

// Replace sets a list of keys.
func (k *keyFlag) Replace(list []string) error {
	k.changed = false
	if k.single {
		list = list[:min(len(list), 1)]
	}
	for _, v := range list {
		if err := k.Set(v); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice returns all keys, as they were given.
func (k *keyFlag) GetSlice() []string { return append([]string{k.value}, k.replaced...) }

// SplitEnv splits the list of keys in an environment variable, which is separated as
// in PATH. The colon of env:NAME is not a separator, and a key itself is not split.
func (*keyFlag) SplitEnv(v string) []string {
	if vapid.KeyText(v) {
		return []string{v}
	}
	var list []string
	for _, part := range filepath.SplitList(v) {
		if n := len(list); n > 0 && list[n-1] == "env" {
			list[n-1] = "env:" + part
			continue
		}
		list = append(list, part)
	}
	return list
}

// loadRing reads the current key, as load does, and the keys that it has replaced.
func (k *keyFlag) loadRing(s *streams) (vapid.Ring, error) {
	current, err := k.load(s)
	if err != nil {
		return nil, err
	}
	keys := []*vapid.Key{current}
	for _, v := range k.replaced {
		one := *k
		one.value = v
		key, name, err := one.existing(s)
		if err != nil {
			return nil, err
		}
		if vapid.Ring(keys).Find(key.PublicKey()) != nil {
			return nil, usage("pass each key once, the current one first", "%s holds the same key as another -k", name)
		}
		keys = append(keys, key)
	}
	return vapid.NewRing(keys...)
}
