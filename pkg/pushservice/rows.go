package pushservice

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// What the journal writes of each change, and how it is read again.

// orNull makes what is empty null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// writeSubscription writes a new subscription. sub is not looked at later.
func writeSubscription(sub *subscription) func(*journal) error {
	s := sub.Subscription
	var key, agent any
	if !s.Key.IsZero() {
		key = s.Key.Bytes()
	}
	if sub.agent != nil {
		agent = sub.agent.id
	}
	return func(j *journal) error {
		return j.exec("INSERT INTO subscriptions (id, path, key, created, agent, channel) VALUES (?, ?, ?, ?, ?, ?)",
			s.ID, s.Path, key, s.Created.UnixMilli(), agent, orNull(s.Channel))
	}
}

// writeExpired writes that a subscription ended, and with it its messages, and
// that another, if forgotten is not empty, is not remembered any more.
func writeExpired(id, forgotten string) func(*journal) error {
	t := time.Now().UnixMilli()
	return func(j *journal) error {
		if err := j.exec("UPDATE subscriptions SET expired = ? WHERE id = ?", t, id); err != nil {
			return err
		}
		if err := j.exec("DELETE FROM messages WHERE subscription = ?", id); err != nil || forgotten == "" {
			return err
		}
		return j.exec("DELETE FROM subscriptions WHERE id = ?", forgotten)
	}
}

// writeMessage writes a message, unless it is not kept, and that it replaces
// those with its topic.
func writeMessage(owner string, m Message, expires time.Time, rs *receipts) func(*journal) error {
	var path any
	if rs != nil {
		path = rs.path
	}
	return func(j *journal) error {
		if m.Topic != "" {
			if err := j.exec("DELETE FROM messages WHERE subscription = ? AND topic = ?", owner, m.Topic); err != nil {
				return err
			}
		}
		if err := j.exec("UPDATE subscriptions SET seq = ? WHERE id = ?", int64(m.Seq), owner); err != nil || m.TTL == 0 {
			return err
		}
		return j.exec(`INSERT INTO messages (id, subscription, seq, time, ttl, expires, urgency, topic, encoding, encryption, crypto_key, body, receipts)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			m.ID, owner, int64(m.Seq), m.Time.UnixMilli(), int64(m.TTL/time.Second), expires.UnixMilli(), m.Urgency, m.Topic, m.Encoding, m.Encryption, m.CryptoKey, m.Body, path)
	}
}

// writeDropped writes that messages are not there any more.
func writeDropped(ids []string) func(*journal) error {
	return func(j *journal) error {
		for _, id := range ids {
			if err := j.exec("DELETE FROM messages WHERE id = ?", id); err != nil {
				return err
			}
		}
		return nil
	}
}

func writeReceipts(path string) func(*journal) error {
	t := time.Now().UnixMilli()
	return func(j *journal) error {
		return j.exec("INSERT INTO receipt_subscriptions (path, used) VALUES (?, ?)", path, t)
	}
}

// forgetReceipts removes receipt subscriptions that nobody seems to want: they
// had no receipt for so long that messages end in less, and wait for none.
func (j *journal) forgetReceipts() error {
	const old = "SELECT path FROM receipt_subscriptions WHERE used < ? AND path NOT IN (SELECT receipts FROM messages WHERE receipts IS NOT NULL)"
	t := time.Now().Add(-DefaultMaxTTL).UnixMilli()
	if err := j.exec("DELETE FROM receipts WHERE path IN ("+old+")", t); err != nil {
		return err
	}
	return j.exec("DELETE FROM receipt_subscriptions WHERE path IN ("+old+")", t)
}

func writeReceipt(path string, r receipt) func(*journal) error {
	t := time.Now().UnixMilli()
	return func(j *journal) error {
		if err := j.exec("UPDATE receipt_subscriptions SET used = ? WHERE path = ?", t, path); err != nil {
			return err
		}
		if err := j.exec("INSERT INTO receipts (path, seq, message, status) VALUES (?, ?, ?, ?)", path, int64(r.Seq), r.Message, r.Status); err != nil {
			return err
		}
		return j.exec("DELETE FROM receipts WHERE path = ? AND seq <= ?", path, int64(r.Seq)-maxReceipts)
	}
}

// load reads all into the store.
func (j *journal) load() error {
	st := j.store
	err := j.query("SELECT id, path, key, created, agent, channel, seq, expired IS NOT NULL FROM subscriptions ORDER BY expired, num", func(scan func(...any) error) error {
		var (
			sub     subscription
			key     []byte
			created int64
			agentID sql.NullString
			channel sql.NullString
			seq     int64
		)
		if err := scan(&sub.ID, &sub.Path, &key, &created, &agentID, &channel, &seq, &sub.expired); err != nil {
			return err
		}
		if key != nil {
			k, err := parseKey(key)
			if err != nil {
				return damaged(fmt.Errorf("an application server key: %w", err))
			}
			sub.Key = k
		}
		sub.Created, sub.Channel, sub.seq = time.UnixMilli(created), channel.String, uint64(seq)
		if sub.expired {
			st.byID[sub.ID], st.byPath[sub.Path] = &sub, &sub
			st.expired = append(st.expired, &sub)
			return nil
		}
		if agentID.Valid {
			if sub.agent = st.agents[agentID.String]; sub.agent == nil {
				sub.agent = newAgent(agentID.String)
			}
		}
		st.put(&sub)
		return nil
	})
	if err != nil {
		return err
	}
	if err := j.forgetReceipts(); err != nil {
		return err
	}
	err = j.query("SELECT path FROM receipt_subscriptions", func(scan func(...any) error) error {
		rs := newReceipts(st)
		if err := scan(&rs.path); err != nil {
			return err
		}
		st.receipts[rs.path] = rs
		return nil
	})
	if err != nil {
		return err
	}
	err = j.query("SELECT path, seq, message, status FROM receipts ORDER BY path, seq", func(scan func(...any) error) error {
		var (
			path string
			seq  int64
			r    receipt
		)
		if err := scan(&path, &seq, &r.Message, &r.Status); err != nil {
			return err
		}
		if rs := st.receipts[path]; rs != nil {
			r.Seq = uint64(seq)
			rs.seq, rs.list = r.Seq, append(rs.list, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return j.query(`SELECT id, subscription, seq, time, ttl, expires, urgency, topic, encoding, encryption, crypto_key, body, receipts
		FROM messages ORDER BY num`, func(scan func(...any) error) error {
		var (
			m                       message
			owner                   string
			seq, when, ttl, expires int64
			path                    sql.NullString
		)
		err := scan(&m.ID, &owner, &seq, &when, &ttl, &expires, &m.Urgency, &m.Topic, &m.Encoding, &m.Encryption, &m.CryptoKey, &m.Body, &path)
		if err != nil {
			return err
		}
		if m.owner = st.byID[owner]; m.owner == nil || m.owner.expired {
			return damaged(fmt.Errorf("a message has no subscription"))
		}
		m.Seq, m.Time, m.TTL = uint64(seq), time.UnixMilli(when), time.Duration(ttl)*time.Second
		m.expires, m.receipt = time.UnixMilli(expires), st.receipts[path.String]
		st.keep(&m)
		return nil
	})
}

// query calls each with what scans a row.
func (j *journal) query(text string, each func(scan func(...any) error) error) error {
	rows, err := j.conn.QueryContext(context.Background(), text)
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
