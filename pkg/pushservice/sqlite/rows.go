package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// orNull turns an empty string into null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// write writes one change. The lock is held.
func (s *Storage) write(change pushservice.Change) error {
	switch c := change.(type) {
	case pushservice.AddSubscription:
		var key any
		if !c.Key.IsZero() {
			key = c.Key.Bytes()
		}
		return s.exec("INSERT INTO subscriptions (id, path, key, created, agent, channel) VALUES (?, ?, ?, ?, ?, ?)",
			c.ID, c.Path, key, c.Created.UnixMilli(), orNull(c.Agent), orNull(c.Channel))
	case pushservice.EndSubscription:
		if err := s.exec("UPDATE subscriptions SET expired = ? WHERE id = ?", c.Time.UnixMilli(), c.ID); err != nil {
			return err
		}
		if err := s.exec("DELETE FROM messages WHERE subscription = ?", c.ID); err != nil || c.Forget == "" {
			return err
		}
		return s.exec("DELETE FROM subscriptions WHERE id = ?", c.Forget)
	case pushservice.AddMessage:
		return s.writeMessage(c.StoredMessage)
	case pushservice.RemoveMessages:
		for _, id := range c.IDs {
			if err := s.exec("DELETE FROM messages WHERE id = ?", id); err != nil {
				return err
			}
		}
		return nil
	case pushservice.AddReceipts:
		return s.exec("INSERT INTO receipt_subscriptions (path, used) VALUES (?, ?)", c.Path, c.Time.UnixMilli())
	case pushservice.AddReceipt:
		if err := s.exec("UPDATE receipt_subscriptions SET used = ? WHERE path = ?", c.Time.UnixMilli(), c.Path); err != nil {
			return err
		}
		if err := s.exec("INSERT INTO receipts (path, seq, message, status) VALUES (?, ?, ?, ?)", c.Path, int64(c.Seq), c.Message, c.Status); err != nil {
			return err
		}
		return s.exec("DELETE FROM receipts WHERE path = ? AND seq <= ?", c.Path, int64(c.Forget))
	case pushservice.RemoveReceipts:
		if err := s.exec("DELETE FROM receipts WHERE path = ?", c.Path); err != nil {
			return err
		}
		return s.exec("DELETE FROM receipt_subscriptions WHERE path = ?", c.Path)
	}
	return fmt.Errorf("unknown change %T", change)
}

func (s *Storage) writeMessage(m pushservice.StoredMessage) error {
	if m.Topic != "" {
		if err := s.exec("DELETE FROM messages WHERE subscription = ? AND topic = ?", m.Subscription, m.Topic); err != nil {
			return err
		}
	}
	if err := s.exec("UPDATE subscriptions SET seq = ? WHERE id = ?", int64(m.Seq), m.Subscription); err != nil || m.TTL == 0 {
		return err
	}
	return s.exec(`INSERT INTO messages (id, subscription, seq, time, ttl, expires, urgency, topic, encoding, encryption, crypto_key, body, receipts)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		m.ID, m.Subscription, int64(m.Seq), m.Time.UnixMilli(), int64(m.TTL/time.Second), m.Expires.UnixMilli(), m.Urgency, m.Topic,
		m.Encoding, m.Encryption, m.CryptoKey, m.Body, orNull(m.Receipts))
}

// Load reads the database, as [pushservice.Storage] describes. The error is of
// type [*Error].
func (s *Storage) Load() (*pushservice.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all pushservice.Snapshot
	if err := s.load(&all); err != nil {
		return nil, explain(s.path, err)
	}
	return &all, nil
}

func (s *Storage) load(all *pushservice.Snapshot) error {
	for _, load := range []func(*pushservice.Snapshot) error{s.loadSubscriptions, s.loadReceipts, s.loadMessages} {
		if err := load(all); err != nil {
			return err
		}
	}
	return nil
}

func (s *Storage) loadSubscriptions(all *pushservice.Snapshot) error {
	return s.query("SELECT id, path, key, created, agent, channel, seq, expired IS NOT NULL FROM subscriptions ORDER BY expired, num", func(scan func(...any) error) error {
		var (
			v              pushservice.StoredSubscription
			key            []byte
			created, seq   int64
			agent, channel sql.NullString
		)
		if err := scan(&v.ID, &v.Path, &key, &created, &agent, &channel, &seq, &v.Expired); err != nil {
			return err
		}
		if key != nil {
			k, err := vapid.ParsePublicKey(key)
			if len(key) != len(k.Bytes()) { // ParsePublicKey accepts other forms too
				err = fmt.Errorf("it has %d bytes, expected %d", len(key), len(k.Bytes()))
			}
			if err != nil {
				return damaged(fmt.Errorf("an application server key: %w", err))
			}
			v.Key = k
		}
		v.Created, v.Agent, v.Channel, v.Seq = time.UnixMilli(created), agent.String, channel.String, uint64(seq)
		all.Subscriptions = append(all.Subscriptions, v)
		return nil
	})
}

// loadReceipts reads receipt subscriptions and the receipts of each.
func (s *Storage) loadReceipts(all *pushservice.Snapshot) error {
	place := make(map[string]int)
	err := s.query("SELECT path, used FROM receipt_subscriptions", func(scan func(...any) error) error {
		var (
			v    pushservice.StoredReceipts
			used int64
		)
		if err := scan(&v.Path, &used); err != nil {
			return err
		}
		v.Used = time.UnixMilli(used)
		place[v.Path] = len(all.Receipts)
		all.Receipts = append(all.Receipts, v)
		return nil
	})
	if err != nil {
		return err
	}
	return s.query("SELECT path, seq, message, status FROM receipts ORDER BY path, seq", func(scan func(...any) error) error {
		var (
			path string
			seq  int64
			r    pushservice.Receipt
		)
		if err := scan(&path, &seq, &r.Message, &r.Status); err != nil {
			return err
		}
		r.Seq = uint64(seq)
		if i, ok := place[path]; ok {
			all.Receipts[i].List = append(all.Receipts[i].List, r)
		}
		return nil
	})
}

// loadMessages reads the messages; the subscriptions must have been read.
func (s *Storage) loadMessages(all *pushservice.Snapshot) error {
	live := make(map[string]bool)
	for _, v := range all.Subscriptions {
		live[v.ID] = !v.Expired
	}
	return s.query(`SELECT id, subscription, seq, time, ttl, expires, urgency, topic, encoding, encryption, crypto_key, body, receipts
		FROM messages ORDER BY num`, func(scan func(...any) error) error {
		var (
			m                       pushservice.StoredMessage
			seq, when, ttl, expires int64
			receipts                sql.NullString
		)
		err := scan(&m.ID, &m.Subscription, &seq, &when, &ttl, &expires, &m.Urgency, &m.Topic, &m.Encoding, &m.Encryption, &m.CryptoKey, &m.Body, &receipts)
		if err != nil {
			return err
		}
		if !live[m.Subscription] {
			return damaged(errors.New("a message has no subscription"))
		}
		m.Seq, m.Time, m.TTL = uint64(seq), time.UnixMilli(when), time.Duration(ttl)*time.Second
		m.Expires, m.Receipts = time.UnixMilli(expires), receipts.String
		all.Messages = append(all.Messages, m)
		return nil
	})
}

// query calls each for every row, with the row's Scan method.
func (s *Storage) query(text string, each func(scan func(...any) error) error) error {
	rows, err := s.conn.QueryContext(context.Background(), text)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
