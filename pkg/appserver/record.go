package appserver

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// MaxTries is the maximum number of repetitions for a record that changes while a message
// to it is in flight.
const MaxTries = 3

// Merge returns the record that a [Store] keeps when r replaces old, and whether it
// differs from old. It has the fields of r, except that an empty user, an empty key, and
// nil tags keep the values of old.
func Merge(old, r Record) (now Record, changed bool) {
	now = old
	now.Endpoint, now.P256DH, now.Auth, now.Service, now.Origin = r.Endpoint, r.P256DH, r.Auth, r.Service, r.Origin
	if now.Endpoint != old.Endpoint || now.P256DH != old.P256DH || now.Auth != old.Auth {
		now.Version++
		now.GoneSince = time.Time{}
	}
	if r.User != "" {
		now.User = r.User
	}
	if r.Tags != nil {
		now.Tags = SortTags(r.Tags)
	}
	if r.Key != "" {
		now.Key = r.Key
	}
	return now, now.Key != old.Key || now.Version != old.Version || now.User != old.User || !slices.Equal(now.Tags, old.Tags)
}

// NewRecord returns the record that a [Store] keeps if the endpoint of r is new, without
// its Seq. If keep is true, the ID, Created, and LastStatus of r are kept.
func NewRecord(r Record, keep bool) Record {
	r.Version, r.Tags, r.GoneSince = 1, SortTags(r.Tags), time.Time{}
	if !keep || r.ID == "" {
		r.ID = rand.Text()
	}
	if !keep || r.Created.IsZero() {
		r.Created = time.Now()
	}
	r.Created = r.Created.UTC().Truncate(time.Millisecond)
	if !keep {
		r.LastStatus = 0
	}
	return r
}

// SortTags returns tags in order and without duplicates; nil for none.
func SortTags(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	tags = slices.Clone(tags)
	slices.Sort(tags)
	return slices.Compact(tags)
}

// Add adds n messages of a service and class.
func (c Counts) Add(service webpush.Service, class webpush.Class, n int64) {
	if c[service] == nil {
		c[service] = make(map[webpush.Class]int64)
	}
	c[service][class] += n
}
