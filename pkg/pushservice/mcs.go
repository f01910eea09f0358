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

// mcsFrameTimeout is the time limit for a device's login, and for the rest of a
// frame once it has begun.
const mcsFrameTimeout = 30 * time.Second

// maxPending is the maximum number of messages on the way to a device, including
// messages with a TTL of zero; more close the connection.
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

	// State of the reader: the byte that ended its wait, if first is true, and a
	// buffer while there is something to read.
	one   [1]byte
	first bool
	r     *bufio.Reader
}

// pendingMessage is a message that was sent but not acknowledged.
type pendingMessage struct {
	number      uint32 // stream ID of its frame
	channel, id string
}

type frame struct {
	tag  mcs.Tag
	body []byte
}

// frameReaders holds buffers for connections with data to read.
var frameReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2048) }}

// ServeMCS speaks MCS, the protocol through which Chromium receives messages, on a
// connection whose TLS the caller has set up, until either side closes it. The
// connection is closed when ServeMCS returns. The error is an error of the
// connection, or reports how the device violated the protocol.
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

// Read returns the byte that ended the wait, and then reads from the connection.
func (d *device) Read(b []byte) (int, error) {
	if d.first && len(b) > 0 {
		d.first = false
		return copy(b, d.one[:]), nil
	}
	return d.conn.Read(b)
}

// read waits for a frame, without a buffer while waiting. The first frame follows the
// version, and has the deadline of the login.
func (d *device) read(first bool) (f frame, err error) {
	if d.r == nil {
		if !first { // this side's pings keep the device talking
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

// login responds to the first frame and returns the device's ID.
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
		return "", errors.New("a login without an ID and a token")
	}
	if f := s.misbehave(context.Background(), OnLogin); f != nil {
		if !f.Reset {
			code := max(1, f.loginError())
			_ = d.write(mcs.TagLoginResponse, mcs.LoginResponse{ErrorCode: code, ErrorMessage: faultMessage}.Append(nil), mcs.Version)
		}
		return "", errFault
	}
	d.at = s.store.attachDevice(id, d.line.poke)
	s.store.acknowledgeListed(d.at, login.ReceivedPersistentIDs)
	if err := s.store.settled(); err != nil {
		return login.User, err
	}
	response := mcs.LoginResponse{LastStreamIDReceived: 1, ServerTimestamp: uint64(time.Now().UnixMilli())}
	s.logger.Info("mcs login", "device", short(login.User), "received", len(login.ReceivedPersistentIDs))
	return login.User, d.write(mcs.TagLoginResponse, response.Append(nil), mcs.Version)
}

// hangUp closes the connection, with a Close frame if this side has a reason.
func (d *device) hangUp(cause error) {
	_ = d.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if errors.Is(cause, errStops) || errors.Is(cause, errReplaced) || errors.Is(cause, errReset) {
		_, _ = d.conn.Write(mcs.AppendFrame(nil, mcs.TagClose, nil))
	}
	_ = d.conn.Close()
}

// write sends a frame, preceded by prefix.
func (d *device) write(tag mcs.Tag, message []byte, prefix ...byte) error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := d.conn.Write(mcs.AppendFrame(prefix, tag, message))
	d.sent++
	return err
}

// wake sends waiting messages, unless the store has ended the connection.
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
		// The number does not include the response.
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
		return errors.New("the device closed the connection")
	case mcs.TagLoginRequest:
		return errors.New("a second login")
	}
	return nil // an unknown frame is only counted
}

// acknowledge removes the messages of all frames up to a number, and the messages
// with the given IDs. It then sends waiting messages.
func (d *device) acknowledge(number uint32, ids []string) error {
	if number > d.sent {
		return fmt.Errorf("frame %d was acknowledged, but only %d were sent", number, d.sent)
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
		return err // the messages are sent again
	}
	return d.deliver()
}

// deliver sends waiting messages.
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
			continue // the subscription has just ended
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
