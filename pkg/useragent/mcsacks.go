package useragent

import (
	"fmt"
	"slices"
)

const (
	// maxUnconfirmed is the maximum number of acknowledged messages whose
	// acknowledgment the push service has not confirmed. The oldest are forgotten.
	maxUnconfirmed = 1000
	// maxListed is the maximum size of all their IDs in a login, in bytes: a login
	// must fit into one frame.
	maxListed = 48 << 10
	// maxPersistentID is the maximum size of a message's ID, in bytes.
	maxPersistentID = 256
)

// receipts tracks which messages of MCS are acknowledged, and which must still be.
// Each side counts the frames of a connection, from 1; a number in a frame
// acknowledges all frames up to it. The numbers that receipts returns never cover a
// message that the caller has not acknowledged.
type receipts struct {
	seen        seen
	unconfirmed []receipt // oldest first

	// The counters of the connection.
	received uint32 // frames from the service
	sent     uint32 // frames to the service
	reported uint32 // the last number that was sent
	undone   []undone
}

// receipt is an acknowledged message whose acknowledgment the push service has not
// confirmed.
type receipt struct {
	id      string
	number  uint32 // the frame that brought it on this connection, or 0
	carrier uint32 // the frame that acknowledged it on this connection, or 0
}

// undone is a message that is not yet acknowledged.
type undone struct {
	number uint32
	id     string
}

// login begins a connection and returns the IDs for its first frame.
func (r *receipts) login() []string {
	size, from := 0, len(r.unconfirmed)
	for from > 0 && size+len(r.unconfirmed[from-1].id) <= maxListed {
		from--
		size += len(r.unconfirmed[from].id)
	}
	r.unconfirmed = slices.Delete(r.unconfirmed, 0, from)
	ids := make([]string, len(r.unconfirmed))
	for i := range r.unconfirmed {
		r.unconfirmed[i].number, r.unconfirmed[i].carrier = 0, 1
		ids[i] = r.unconfirmed[i].id
	}
	r.received, r.sent, r.reported, r.undone = 0, 1, 0, nil
	return ids
}

// frame counts a frame from the push service that acknowledges up to last.
func (r *receipts) frame(last uint32) error {
	r.received++
	if last > r.sent {
		return fmt.Errorf("the push service acknowledges frame %d of %d", last, r.sent)
	}
	r.unconfirmed = slices.DeleteFunc(r.unconfirmed, func(u receipt) bool { return u.carrier != 0 && u.carrier <= last })
	return nil
}

// message notes that the last counted frame is a message, and reports whether it
// is new.
func (r *receipts) message(id string) (isNew bool) {
	code, repeated := r.seen.find(id)
	if repeated && code > 0 { // acknowledged before, but the service does not know
		r.confirmLater(id, r.received)
		return false
	}
	if !slices.ContainsFunc(r.undone, func(u undone) bool { return u.id == id }) {
		r.undone = append(r.undone, undone{r.received, id})
	}
	if repeated {
		return false
	}
	r.seen.add(id)
	return true
}

// lose notes that nobody received a message; it is new when it arrives again.
func (r *receipts) lose(id string) { r.seen.drop(id) }

// done notes that a message is acknowledged, and reports whether it was not before.
func (r *receipts) done(id string, code int) (changed bool) {
	if before, ok := r.seen.find(id); !ok || before > 0 {
		return false
	}
	r.seen.acked(id, code)
	number := uint32(0)
	r.undone = slices.DeleteFunc(r.undone, func(u undone) bool {
		if u.id == id {
			number = u.number
		}
		return u.id == id
	})
	r.confirmLater(id, number)
	return true
}

// confirmLater adds a receipt.
func (r *receipts) confirmLater(id string, number uint32) {
	r.unconfirmed = slices.DeleteFunc(r.unconfirmed, func(u receipt) bool { return u.id == id })
	r.unconfirmed = append(r.unconfirmed, receipt{id: id, number: number})
	r.unconfirmed = slices.Delete(r.unconfirmed, 0, max(0, len(r.unconfirmed)-maxUnconfirmed))
}

// watermark returns the number of the last frame before the first unfinished message.
func (r *receipts) watermark() uint32 {
	if len(r.undone) > 0 {
		return r.undone[0].number - 1
	}
	return r.received
}

// carry counts a frame to the push service, and returns the number for it.
func (r *receipts) carry() uint32 {
	r.sent++
	r.reported = r.watermark()
	for i := range r.unconfirmed {
		if u := &r.unconfirmed[i]; u.carrier == 0 && u.number != 0 && u.number <= r.reported {
			u.carrier = r.sent
		}
	}
	return r.reported
}

// behind reports whether a message is done whose acknowledgment was not sent.
func (r *receipts) behind() bool { return r.watermark() > r.reported }

// carried reports whether an acknowledgment was sent that the push service has not
// confirmed.
func (r *receipts) carried() bool {
	return slices.ContainsFunc(r.unconfirmed, func(u receipt) bool { return u.carrier != 0 })
}

// ids returns the IDs of the receipts, oldest first.
func (r *receipts) ids() []string {
	var list []string
	for _, u := range r.unconfirmed {
		list = append(list, u.id)
	}
	return list
}
