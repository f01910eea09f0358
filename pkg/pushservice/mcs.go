package pushservice

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
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
	service  *Service
	conn     net.Conn
	at       *attachment
	received uint32 // frames from the device
	sent     uint32 // frames to the device
	pending  []pendingMessage
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

// ServeMCS speaks MCS, the protocol by which Chromium receives messages, on a
// connection whose TLS the caller has set up, until either side ends it, and
// closes it. The errors are those of the connection, or name what the device did
// wrong.
func (s *Service) ServeMCS(conn net.Conn) error {
	defer conn.Close()
	stop, leave, err := s.sockets.enter(context.Background())
	if err != nil {
		return err
	}
	defer leave()
	unblock := context.AfterFunc(stop, func() { _ = conn.SetDeadline(time.Now()) })
	defer unblock()
	_ = conn.SetDeadline(time.Now().Add(mcsFrameTimeout))
	r := bufio.NewReaderSize(conn, 1024)
	login, err := readLogin(r)
	if err != nil {
		return err
	}
	d := &device{service: s, conn: conn, received: 1}
	id := deviceID(login.User, login.AuthToken)
	if id == "" {
		_ = d.write(mcs.TagLoginResponse, mcs.LoginResponse{ErrorCode: 1, ErrorMessage: "invalid id or token"}.Append(nil), mcs.Version)
		return fmt.Errorf("a login without id and token")
	}
	if f := s.misbehave(stop, OnLogin); f != nil {
		if !f.Reset {
			code := max(1, f.loginError())
			_ = d.write(mcs.TagLoginResponse, mcs.LoginResponse{ErrorCode: code, ErrorMessage: "fault: this answer was asked for"}.Append(nil), mcs.Version)
		}
		return errFault
	}
	d.at = s.store.attachDevice(id)
	defer s.store.detach(d.at)
	s.store.acknowledgeListed(d.at, login.ReceivedPersistentIDs)
	if err := s.store.settled(); err != nil {
		return err
	}
	answer := mcs.LoginResponse{LastStreamIDReceived: 1, ServerTimestamp: uint64(time.Now().UnixMilli())}
	if err := d.write(mcs.TagLoginResponse, answer.Append(nil), mcs.Version); err != nil {
		return err
	}
	s.logger.Info("mcs login", "device", short(login.User), "received", len(login.ReceivedPersistentIDs))
	err = d.run(stop, r)
	s.logger.Info("mcs closed", "device", short(login.User), "reason", clip(err.Error()))
	return err
}

func readLogin(r *bufio.Reader) (mcs.LoginRequest, error) {
	if err := mcs.ReadVersion(r); err != nil {
		return mcs.LoginRequest{}, err
	}
	tag, body, err := mcs.ReadFrame(r)
	if err != nil {
		return mcs.LoginRequest{}, err
	}
	if tag != mcs.TagLoginRequest {
		return mcs.LoginRequest{}, fmt.Errorf("the first frame has the tag %d, expected a login", tag)
	}
	return mcs.ParseLoginRequest(body)
}

// write sends a frame, after a prefix.
func (d *device) write(tag mcs.Tag, message []byte, prefix ...byte) error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := d.conn.Write(mcs.AppendFrame(prefix, tag, message))
	d.sent++
	return err
}

// run returns why the connection ends.
func (d *device) run(stop context.Context, r *bufio.Reader) error {
	frames, failed, done := make(chan frame), make(chan error, 1), make(chan struct{})
	ended := make(chan struct{})
	defer func() {
		close(done)
		_ = d.conn.Close()
		<-ended
	}()
	go func() {
		defer close(ended)
		for {
			// The pings of this side come in between.
			_ = d.conn.SetReadDeadline(time.Now().Add(pingInterval + time.Minute))
			if stop.Err() != nil {
				failed <- stop.Err()
				return
			}
			_, err := r.Peek(1)
			if err == nil {
				_ = d.conn.SetReadDeadline(time.Now().Add(mcsFrameTimeout))
				var f frame
				if f.tag, f.body, err = mcs.ReadFrame(r); err == nil {
					select {
					case frames <- f:
						continue
					case <-done:
						return
					}
				}
			}
			failed <- err
			return
		}
	}()
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		var err error
		select {
		case err = <-failed:
		case <-stop.Done():
			_ = d.write(mcs.TagClose, nil)
			err = stop.Err()
		case <-d.at.ended:
			_ = d.write(mcs.TagClose, nil)
			err = d.at.cause
		case f := <-frames:
			err = d.handle(f)
		case <-d.at.wake:
			err = d.deliver()
		case <-ping.C:
			err = d.write(mcs.TagHeartbeatPing, mcs.Heartbeat{LastStreamIDReceived: d.received}.Append(nil))
		}
		if err != nil {
			return err
		}
	}
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
