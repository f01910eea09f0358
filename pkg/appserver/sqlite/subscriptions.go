package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const recordColumns = "s.seq, s.id, s.version, s.endpoint, s.p256dh, s.auth, s.service, s.origin, s.user, s.tags, s.created, s.last_status, s.public_key, s.gone_since"

func scanRecord(rows *sql.Rows) (r appserver.Record, err error) {
	var tags string
	var created, gone int64
	err = rows.Scan(&r.Seq, &r.ID, &r.Version, &r.Endpoint, &r.P256DH, &r.Auth, &r.Service, &r.Origin, &r.User, &tags, &created, &r.LastStatus, &r.Key, &gone)
	if err == nil && tags != "" {
		err = json.Unmarshal([]byte(tags), &r.Tags)
	}
	r.Created, r.GoneSince = fromMillis(created), fromMillis(gone)
	return r, err
}

func find(ctx context.Context, q querier, endpoint string) (appserver.Record, error) {
	rows, err := q.query(ctx, "SELECT "+recordColumns+" FROM subscription s WHERE s.endpoint = ?", endpoint)
	return one(rows, err, scanRecord)
}

func (s *store) Find(ctx context.Context, endpoint string) (appserver.Record, error) {
	return find(ctx, s, endpoint)
}

func tagsText(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	b, _ := json.Marshal(tags) // never fails for strings
	return string(b)
}

func (s *store) Put(ctx context.Context, r appserver.Record) (appserver.Record, bool, error) {
	var created bool
	err := s.update(ctx, func(t tx) (err error) {
		r, created, err = t.put(r, false)
		return err
	})
	return r, created, err
}

func (s *store) PutAll(ctx context.Context, list []appserver.Record) (out []appserver.Record, created []bool, err error) {
	err = s.update(ctx, func(t tx) error {
		out, created = make([]appserver.Record, len(list)), make([]bool, len(list))
		for i, r := range list {
			if out[i], created[i], err = t.put(r, true); err != nil {
				return err
			}
		}
		return nil
	})
	return out, created, err
}

func (t tx) put(r appserver.Record, keep bool) (appserver.Record, bool, error) {
	old, err := find(context.Background(), t, r.Endpoint)
	if err == nil {
		now, err := t.replace(old, r)
		return now, false, err
	}
	if !errors.Is(err, appserver.ErrNotFound) {
		return r, false, err
	}
	r = appserver.NewRecord(r, keep)
	r.Seq, err = t.insert("INSERT INTO subscription (id, endpoint, p256dh, auth, service, origin, user, tags, created, public_key, last_status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, r.Endpoint, r.P256DH, r.Auth, string(r.Service), r.Origin, r.User, tagsText(r.Tags), millis(r.Created), r.Key, r.LastStatus)
	if err != nil {
		return r, false, err
	}
	return r, true, t.addTags(r)
}

func (t tx) addTags(r appserver.Record) error {
	for _, tag := range r.Tags {
		if err := t.exec("INSERT INTO tag (tag, seq) VALUES (?, ?)", tag, r.Seq); err != nil {
			return err
		}
	}
	return nil
}

// replace updates the record old with r.
func (t tx) replace(old, r appserver.Record) (appserver.Record, error) {
	now, changed := appserver.Merge(old, r)
	if !changed {
		return now, nil
	}
	err := t.exec("UPDATE subscription SET version = ?, endpoint = ?, p256dh = ?, auth = ?, service = ?, origin = ?, user = ?, tags = ?, public_key = ?, gone_since = ? WHERE seq = ?",
		now.Version, now.Endpoint, now.P256DH, now.Auth, string(now.Service), now.Origin, now.User, tagsText(now.Tags), now.Key, dueMillis(now.GoneSince), now.Seq)
	if err != nil || slices.Equal(now.Tags, old.Tags) {
		return now, err
	}
	if err := t.exec("DELETE FROM tag WHERE seq = ?", now.Seq); err != nil {
		return now, err
	}
	return now, t.addTags(now)
}

func (s *store) Change(ctx context.Context, old string, r appserver.Record) (appserver.Record, bool, error) {
	var created bool
	err := s.update(ctx, func(t tx) error {
		was, err := find(ctx, t, old)
		if errors.Is(err, appserver.ErrNotFound) || old == r.Endpoint {
			r, created, err = t.put(r, false)
			return err
		}
		if err != nil {
			return err
		}
		// The older record stays: the newer one may be beyond the last recipient of
		// a job that has not yet reached the older one.
		newer, err := find(ctx, t, r.Endpoint)
		switch {
		case err == nil:
			r = r.Inherit(newer)
			if err := t.exec("DELETE FROM subscription WHERE seq = ?", newer.Seq); err != nil {
				return err
			}
		case !errors.Is(err, appserver.ErrNotFound):
			return err
		}
		r, err = t.replace(was, r)
		return err
	})
	return r, created, err
}

func (s *store) Delete(ctx context.Context, endpoint string) (bool, error) {
	var n int64
	err := s.update(ctx, func(t tx) (err error) {
		n, err = t.affected("DELETE FROM subscription WHERE endpoint = ?", endpoint)
		return err
	})
	return n > 0, err
}

func (s *store) Count(ctx context.Context) (map[webpush.Service]int64, error) {
	rows, err := s.query(ctx, "SELECT service, n FROM service_count WHERE n > 0")
	counts := make(map[webpush.Service]int64)
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var service webpush.Service
		var n int64
		err := rows.Scan(&service, &n)
		counts[service] = n
		return struct{}{}, err
	})
	return counts, err
}

func (s *store) CountKeys(ctx context.Context) (map[string]int64, error) {
	rows, err := s.query(ctx, "SELECT public_key, count(*) FROM subscription GROUP BY public_key")
	counts := make(map[string]int64)
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var key string
		var n int64
		err := rows.Scan(&key, &n)
		counts[key] = n
		return struct{}{}, err
	})
	return counts, err
}

// where returns the table and the condition of a filter, for records in a range of Seq.
func where(f appserver.Filter) (string, []any) {
	switch {
	case f.Tag != "":
		return " FROM tag JOIN subscription s ON s.seq = tag.seq WHERE tag.tag = ? AND tag.seq > ? AND tag.seq <= ?", []any{f.Tag}
	case f.User != "":
		return " FROM subscription s WHERE s.user = ? AND s.user <> '' AND s.seq > ? AND s.seq <= ?", []any{f.User}
	}
	return " FROM subscription s WHERE s.seq > ? AND s.seq <= ?", nil
}

func (s *store) List(ctx context.Context, f appserver.Filter, after, upTo int64, limit int) ([]appserver.Record, error) {
	if upTo == 0 {
		upTo = 1<<63 - 1
	}
	from, args := where(f)
	order := " ORDER BY s.seq LIMIT ?"
	if f.Tag != "" {
		order = " ORDER BY tag.seq LIMIT ?"
	}
	rows, err := s.query(ctx, "SELECT "+recordColumns+from+order, append(args, after, upTo, limit)...)
	return collect(rows, err, scanRecord)
}

func (s *store) Get(ctx context.Context, seqs []int64) ([]appserver.Record, error) {
	text, err := json.Marshal(seqs)
	if err != nil {
		return nil, err
	}
	rows, err := s.query(ctx, "SELECT "+recordColumns+" FROM subscription s WHERE s.seq IN (SELECT value FROM json_each(?)) ORDER BY s.seq", string(text))
	return collect(rows, err, scanRecord)
}

// gone removes a record, or keeps it until it has been gone for long enough. If the
// record has changed, gone does neither.
func (t tx) gone(r appserver.Record, after time.Duration) (removed, kept bool, err error) {
	now := millis(time.Now())
	n, err := t.affected("DELETE FROM subscription WHERE seq = ? AND version = ? AND (? OR gone_since > 0 AND gone_since <= ?)", r.Seq, r.Version, after <= 0, now-after.Milliseconds())
	if err != nil || n > 0 {
		return n > 0, false, err
	}
	n, err = t.affected("UPDATE subscription SET gone_since = CASE gone_since WHEN 0 THEN ? ELSE gone_since END WHERE seq = ? AND version = ?", now, r.Seq, r.Version)
	return false, n > 0, err
}

func (s *store) Gone(ctx context.Context, r appserver.Record, after time.Duration) (removed bool, err error) {
	err = s.update(ctx, func(t tx) error {
		removed, _, err = t.gone(r, after)
		return err
	})
	return removed, err
}
