package useragent

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is a push service and a user agent that have frames in flight, in both
// directions, and lose them with the connection.
type model struct {
	t        *testing.T
	receipts receipts

	waiting []string          // at the service
	frames  map[uint32]string // of this connection, by number: the message, or ""
	sent    uint32            // frames from the service
	taken   uint32            // frames that the service has received
	toAgent []modelFrame
	toThem  []uint32 // numbers in the agent's frames

	next      int
	delivered map[string]int
	acked     map[string]bool
	held      []string // messages that were delivered and are not acknowledged
}

type modelFrame struct {
	id   string
	last uint32
}

// login loses the connection, and makes another.
func (m *model) login() {
	m.toAgent, m.toThem, m.frames = nil, nil, make(map[uint32]string)
	listed := m.receipts.login()
	for _, id := range listed {
		if !m.acked[id] {
			m.t.Fatalf("the login lists %s, which is not acknowledged", id)
		}
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(id string) bool { return slices.Contains(listed, id) })
	m.sent, m.taken = 0, 1
	m.send("") // the answer to the login
	for _, id := range m.waiting {
		m.send(id)
	}
}

func (m *model) send(id string) {
	m.sent++
	m.frames[m.sent] = id
	m.toAgent = append(m.toAgent, modelFrame{id, m.taken})
}

// step does one of the things that can happen.
func (m *model) step(op byte) {
	r := &m.receipts
	switch op % 8 {
	case 0, 1:
		id := fmt.Sprint("m", m.next)
		m.next++
		m.waiting = append(m.waiting, id)
		m.send(id)
	case 2:
		m.send("") // a ping
	case 3, 4:
		if len(m.toAgent) == 0 {
			return
		}
		f := m.toAgent[0]
		m.toAgent = m.toAgent[1:]
		if err := r.frame(f.last); err != nil {
			m.t.Fatal(err)
		}
		if f.id != "" && r.message(f.id) {
			m.delivered[f.id]++
			m.held = append(m.held, f.id)
		}
	case 5:
		if len(m.held) == 0 {
			return
		}
		i := int(op/8) % len(m.held) // in any order
		id := m.held[i]
		m.held = slices.Delete(m.held, i, i+1)
		m.acked[id] = true
		if !r.done(id, ackDelivered) {
			m.t.Fatalf("%s was acknowledged before", id)
		}
		m.toThem = append(m.toThem, r.carry())
	case 6:
		if len(m.toThem) == 0 {
			return
		}
		last := m.toThem[0]
		m.toThem = m.toThem[1:]
		m.taken++
		if last > m.sent {
			m.t.Fatalf("frame %d is acknowledged of %d", last, m.sent)
		}
		for n := uint32(1); n <= last; n++ {
			id := m.frames[n]
			if id == "" {
				continue
			}
			if !m.acked[id] {
				m.t.Fatalf("%s is acknowledged to the service, and not by the caller", id)
			}
			m.waiting = slices.DeleteFunc(m.waiting, func(w string) bool { return w == id })
		}
	case 7:
		if op/8%4 == 0 {
			m.login()
		} else {
			m.toThem = append(m.toThem, r.carry()) // a ping
		}
	}
}

// FuzzReceipts: whatever order of messages, acknowledgments, pings, and lost
// connections, no message is acknowledged to the push service before the caller
// has done so, none is lost, and none comes twice.
func FuzzReceipts(f *testing.F) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		ops := make([]byte, 400)
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := &model{t: t, delivered: make(map[string]int), acked: make(map[string]bool)}
		m.login()
		for _, op := range ops[:min(len(ops), 900)] {
			m.step(op)
			for _, id := range m.waiting {
				if m.acked[id] && !slices.Contains(m.receipts.ids(), id) {
					t.Fatalf("the acknowledgment of %s is forgotten before the service has it", id)
				}
			}
		}
		// In the end everything is received, acknowledged, and confirmed.
		for range 2 {
			m.login()
			for len(m.toAgent)+len(m.held)+len(m.toThem) > 0 {
				for _, op := range []byte{3, 5, 6} {
					m.step(op)
				}
			}
		}
		if len(m.waiting) > 0 {
			t.Errorf("the service still has %q", m.waiting)
		}
		for id, n := range m.delivered {
			if n != 1 || !m.acked[id] {
				t.Errorf("%s came %d times, acknowledged: %v", id, n, m.acked[id])
			}
		}
		if len(m.delivered) != m.next {
			t.Errorf("%d of %d messages came", len(m.delivered), m.next)
		}
		m.send("")
		m.step(3)
		if n := len(m.receipts.unconfirmed); n > 0 {
			t.Errorf("%d messages are not confirmed", n)
		}
	})
}

// TestReceiptsAreBounded: a push service that confirms nothing, or repeats one
// message, does not make the account grow.
func TestReceiptsAreBounded(t *testing.T) {
	var r receipts
	r.login()
	for i := range 5000 {
		_ = r.frame(0)
		id := fmt.Sprintf("%0250d", i)
		if !r.message(id) {
			t.Fatal("not new")
		}
		r.done(id, ackDelivered)
		r.carry()
	}
	_ = r.frame(0)
	r.message("held")
	for range 5000 {
		_ = r.frame(0)
		if r.message("held") {
			t.Fatal("a message is new twice")
		}
	}
	if len(r.unconfirmed) > maxUnconfirmed || len(r.undone) != 1 {
		t.Errorf("%d receipts, %d not done", len(r.unconfirmed), len(r.undone))
	}
	size := 0
	for _, id := range r.login() {
		size += len(id)
	}
	if size > maxListed || size < maxListed/2 {
		t.Errorf("a login lists %d bytes", size)
	}
	if err := r.frame(2); err == nil {
		t.Error("a frame that was not sent is acknowledged")
	}
}
