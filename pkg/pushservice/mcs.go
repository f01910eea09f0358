package pushservice

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
)

// mcsFrameTimeout is how long a device may take for its login, and for the rest
// of a frame that it has begun.
const mcsFrameTimeout = 30 * time.Second

// maxPending is how many messages may be on their way to a device, those with a
// TTL of zero included, before the connection ends.
const maxPending = 1000

// device is a connection of a device that speaks MCS.
type device struct {
	line     line
	service  *Service
	conn     net.Conn
	at       *attachment
	received uint32 // frames from the device
	sent     uint32 // frames to the device
	pending  []pendingMessage

	// Of the reader: a byte that was read while it waited, if first is true, and a
	// buffer while there is something to read.
	one   [1]byte
	first bool
	r     *bufio.Reader
}

// pendingMessage is a message that was sent and not acknowledged.
type pendingMessage struct {
	number      uint32 // of its frame
	channel, id string
}

type frame struct {
	tag  mcs.Tag
	body []byte
}

// frameReaders are buffers for connections that are being read.
var frameReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2048) }}

// ServeMCS speaks MCS, the protocol by which Chromium receives messages, on a
// connection whose TLS the caller has set up, until either side ends it, and
// closes it. The errors are those of the connection, or name what the device did
// wrong.
func (s *Service) ServeMCS(conn net.Conn) error {
	defer conn.Close()
	d := &device{service: s, conn: conn}
	d.line.wake, d.line.hangUp = d.wake, d.hangUp
	if err := s.sockets.enter(&d.line); err != nil {
		return err
	}
	defer s.sockets.leave(&d.line)
	_ = conn.SetDeadline(time.Now().Add(mcsFrameTimeout))
	user := ""
	f, err := d.read(true)
	if err == nil {
		err = d.line.do(func() (err error) {
			user, err = d.login(f)
			return err
		})
	}
	if err == nil {
		d.line.every(pingInterval, func() error {
			return d.line.work(func() error {
				return d.write(mcs.TagHeartbeatPing, mcs.Heartbeat{LastStreamIDReceived: d.received}.Append(nil))
			})
		})
	}
	for err == nil {
		if f, err = d.read(false); err == nil {
			err = d.line.do(func() error { return d.handle(f) })
		}
	}
	d.line.end(err)
	d.line.close()
	if d.r != nil {
		d.release()
	}
	err = d.line.ended()
	if d.at != nil {
		s.store.detach(d.at)
		s.logger.Info("mcs closed", "device", short(user), "reason", clip(err.Error()))
	}
	return err
}

// Read reads the byte that was read while waiting, and then from the
// connection.
func (d *device) Read(b []byte) (int, error) {
	if d.first && len(b) > 0 {
		d.first = false
		return copy(b, d.one[:]), nil
	}
	return d.conn.Read(b)
}

// read waits for a frame, without a buffer. The first one comes after the
// version, and within the deadline that is set.
func (d *device) read(first bool) (f frame, err error) {
	if d.r == nil {
		if !first { // the pings of this side come in between
			_ = d.conn.SetReadDeadline(time.Now().Add(pingInterval + time.Minute))
			if err := d.line.ended(); err != nil {
				return f, err
			}
		}
		if _, err := io.ReadFull(d.conn, d.one[:]); err != nil {
			return f, err
		}
		d.first = true
		d.r = frameReaders.Get().(*bufio.Reader)
		d.r.Reset(d)
	}
	if first {
		err = mcs.ReadVersion(d.r)
	} else {
		_ = d.conn.SetReadDeadline(time.Now().Add(mcsFrameTimeout))
	}
	if err == nil {
		f.tag, f.body, err = mcs.ReadFrame(d.r)
	}
	if err == nil && d.r.Buffered() == 0 {
		d.release()
	}
	return f, err
}

func (d *device) release() {
	d.r.Reset(nil)
	frameReaders.Put(d.r)
	d.r = nil
}

// login answers the first frame and returns the device's id.
func (d *device) login(f frame) (user string, err error) {
	d.received = 1
	if f.tag != mcs.TagLoginRequest {
		return "", fmt.Errorf("the first frame has the tag %d, expected a login", f.tag)
	}
	login, err := mcs.ParseLoginRequest(f.body)
	if err != nil {
		return "", err
	}
	s := d.service
	id := deviceID(login.User, login.AuthToken)
	if id == "" {
		_ = d.write(mcs.TagLoginResponse, mcs.LoginResponse{ErrorCode: 1, ErrorMessage: "invalid id or token"}.Append(nil), mcs.Version)
		return "", fmt.Errorf("a login without id and token")
	}
	if f := s.misbehave(context.Background(), OnLogin); f != nil {
		if !f.Reset {
			code := max(1, f.loginError())
			_ = d.write(mcs.TagLoginResponse, mcs.LoginResponse{ErrorCode: code, ErrorMessage: "fault: this answer was asked for"}.Append(nil), mcs.Version)
		}
		return "", errFault
	}
	d.at = s.store.attachDevice(id, d.line.poke)
	s.store.acknowledgeListed(d.at, login.ReceivedPersistentIDs)
	if err := s.store.settled(); err != nil {
		return login.User, err
	}
	answer := mcs.LoginResponse{LastStreamIDReceived: 1, ServerTimestamp: uint64(time.Now().UnixMilli())}
	s.logger.Info("mcs login", "device", short(login.User), "received", len(login.ReceivedPersistentIDs))
	return login.User, d.write(mcs.TagLoginResponse, answer.Append(nil), mcs.Version)
}

// hangUp takes leave if this side ends the connection, and closes it.
func (d *device) hangUp(cause error) {
	_ = d.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if errors.Is(cause, errStops) || errors.Is(cause, errReplaced) || errors.Is(cause, errReset) {
		_, _ = d.conn.Write(mcs.AppendFrame(nil, mcs.TagClose, nil))
	}
	_ = d.conn.Close()
}

// write sends a frame, after a prefix.
func (d *device) write(tag mcs.Tag, message []byte, prefix ...byte) error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := d.conn.Write(mcs.AppendFrame(prefix, tag, message))
	d.sent++
	return err
}

// wake sends what waits, if the store has not ended the connection.
func (d *device) wake() error {
	if err := d.service.store.causeOf(d.at); err != nil {
		return err
	}
	return d.deliver()
}

func (d *device) handle(f frame) error {
	d.received++
	switch f.tag {
	case mcs.TagHeartbeatPing, mcs.TagHeartbeatAck:
		m, err := mcs.ParseHeartbeat(f.body)
		if err != nil {
			return err
		}
		// The number is about the frames before the answer.
		if err := d.acknowledge(m.LastStreamIDReceived, nil); err != nil || f.tag == mcs.TagHeartbeatAck {
			return err
		}
		return d.write(mcs.TagHeartbeatAck, mcs.Heartbeat{LastStreamIDReceived: d.received}.Append(nil))
	case mcs.TagIq:
		m, err := mcs.ParseIq(f.body)
		if err != nil {
			return err
		}
		return d.acknowledge(m.LastStreamIDReceived, m.IDs)
	case mcs.TagDataMessage:
		m, err := mcs.ParseDataMessage(f.body)
		if err != nil {
			return err
		}
		return d.acknowledge(m.LastStreamIDReceived, nil)
	case mcs.TagClose:
		return fmt.Errorf("the device closed it")
	case mcs.TagLoginRequest:
		return fmt.Errorf("a second login")
	}
	return nil // an unknown frame counts, and nothing else
}

// acknowledge removes the messages of all frames up to a number, and those with
// the given ids, and goes on with those that wait.
func (d *device) acknowledge(number uint32, ids []string) error {
	if number > d.sent {
		return fmt.Errorf("frame %d is acknowledged, of %d that were sent", number, d.sent)
	}
	some := false
	d.pending = slices.DeleteFunc(d.pending, func(p pendingMessage) bool {
		if p.number > number && !slices.Contains(ids, p.id) {
			return false
		}
		some = true
		d.service.store.acknowledge(d.at, p.channel, p.id)
		d.service.logger.Info("mcs ack", "message", short(p.id))
		return true
	})
	if !some {
		return nil
	}
	if err := d.service.store.settled(); err != nil {
		return err // the messages come again
	}
	return d.deliver()
}

// deliver sends what waits.
func (d *device) deliver() error {
	n := maxUnacknowledged - len(d.at.sent)
	list, _ := d.service.store.next(d.at, max(0, n))
	if len(d.pending)+len(list) > maxPending {
		return fmt.Errorf("%d messages are not acknowledged", len(d.pending))
	}
	for _, m := range list {
		key, ok := d.service.store.keyOf(d.at, m.channel)
		app, subtype, form := strings.Cut(m.channel, " ")
		if !ok || !form {
			continue // it has ended just now
		}
		stanza := mcs.DataMessage{
			From:                 key.String(),
			Category:             app,
			Token:                m.Topic,
			AppData:              []mcs.AppData{{Key: "subtype", Value: subtype}},
			PersistentID:         m.ID,
			LastStreamIDReceived: d.received,
			TTL:                  uint32(m.TTL / time.Second),
			Sent:                 uint64(m.Time.UnixMilli()),
			ImmediateAck:         true,
		}
		if len(m.Body) > 0 {
			stanza.RawData = m.Body
			for _, data := range []mcs.AppData{{Key: "content-encoding", Value: m.Encoding}, {Key: "encryption", Value: m.Encryption}, {Key: "crypto-key", Value: m.CryptoKey}} {
				if data.Value != "" {
					stanza.AppData = append(stanza.AppData, data)
				}
			}
		}
		if err := d.write(mcs.TagDataMessage, stanza.Append(nil)); err != nil {
			return err
		}
		d.pending = append(d.pending, pendingMessage{d.sent, m.channel, m.ID})
		d.service.logger.Info("mcs message", "message", short(m.ID), "bytes", len(m.Body))
	}
	return nil
}
