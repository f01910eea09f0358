package pushservice

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// receiptRel is the link relation of a receipt subscription (RFC 8030, section
// 9.2).
const receiptRel = "urn:ietf:params:push:receipt"

// maxReceipts is the maximum number of receipts of a receipt subscription; the
// oldest are dropped first.
const maxReceipts = 1000

// receipts is a receipt subscription (RFC 8030, section 5.1).
type receipts struct {
	path  string
	store *store

	mu   sync.Mutex
	seq  uint64
	list []Receipt
	more chan struct{} // closed when a receipt is added
}

func newReceipts(st *store) *receipts { return &receipts{store: st, more: make(chan struct{})} }

// add is called with the store's lock held.
func (rs *receipts) add(message string, status int) {
	if rs == nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.seq++
	if len(rs.list) >= maxReceipts {
		rs.list = rs.list[1:]
	}
	r := Receipt{rs.seq, message, status}
	rs.list = append(rs.list, r)
	rs.store.note(AddReceipt{rs.path, time.Now(), r, rs.list[0].Seq - 1})
	close(rs.more)
	rs.more = make(chan struct{})
}

// after returns the receipts after a Seq, and a channel that is closed when the next
// one is added.
func (rs *receipts) after(seq uint64) ([]Receipt, <-chan struct{}) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, r := range rs.list {
		if r.Seq > seq {
			return append([]Receipt(nil), rs.list[i:]...), rs.more
		}
	}
	return nil, rs.more
}

// wantsReceipt reports whether h has Prefer: respond-async (RFC 7240, section 4.1).
func wantsReceipt(h http.Header) bool {
	for _, item := range strings.Split(joined(h, "Prefer"), ",") {
		name, _, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
			return true
		}
	}
	return false
}

// receiptLink returns the target of the request's link to a receipt subscription,
// or "".
func receiptLink(h http.Header) string {
	for _, link := range h.Values("Link") {
		for _, item := range strings.Split(link, ",") {
			target, rest, ok := strings.Cut(strings.TrimSpace(item), ">")
			if ok && strings.HasPrefix(target, "<") && strings.Contains(rest, receiptRel) {
				return target[1:]
			}
		}
	}
	return ""
}

// receiptsFor returns the receipt subscription for a message: the target of the
// request's Link header, or a new one.
func (s *Service) receiptsFor(h http.Header, origin string) (*receipts, error) {
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if link := receiptLink(h); link != "" {
		rs := st.receipts[strings.TrimPrefix(link, origin)]
		if rs == nil {
			return nil, badRequest("Invalid receipt subscription", "this service does not have the target of the Link header")
		}
		return rs, nil
	}
	if len(st.receipts) >= st.maxSubscriptions {
		return nil, full("Too many receipt subscriptions", "there are %d, the maximum; send the Link header of an earlier response with the next message", len(st.receipts))
	}
	rs := newReceipts(st)
	rs.path = "/r/" + random(tokenSize)
	err := st.first(AddReceipts{rs.path, time.Now()}, func() error {
		st.receipts[rs.path] = rs
		return nil
	})
	return rs, err
}

// serveReceipts handles a long poll for receipts, like the one for messages. RFC
// 8030, section 6.3, uses HTTP/2 server push, which clients no longer support.
func (s *Service) serveReceipts(w http.ResponseWriter, r *http.Request, token string) error {
	if r.Method != http.MethodGet {
		return notAllowed(r, http.MethodGet)
	}
	wait, after, err := pollParameters(r)
	if err != nil {
		return err
	}
	s.store.mu.Lock()
	rs := s.store.receipts["/r/"+token]
	s.store.mu.Unlock()
	if rs == nil {
		return notFound("No such receipt subscription", "the token is unknown")
	}
	end := time.NewTimer(wait)
	defer end.Stop()
	look := time.NewTicker(time.Second) // for messages that expire while waiting
	defer look.Stop()
	for {
		s.store.list() // drops expired messages
		list, more := rs.after(after)
		if len(list) > 0 || wait == 0 {
			writeJSON(w, http.StatusOK, map[string][]Receipt{"receipts": orEmpty(list)})
			return nil
		}
		select {
		case <-more:
		case <-look.C:
		case <-end.C:
			wait = 0
		case <-r.Context().Done():
			wait = 0
		}
	}
}

// pollParameters reads the parameters of a long poll.
func pollParameters(r *http.Request) (wait time.Duration, after uint64, err error) {
	var seconds uint64
	for name, p := range map[string]struct {
		to   *uint64
		most uint64
	}{"wait": {&seconds, maxWait}, "after": {&after, 1<<64 - 1}} {
		values, ok := r.URL.Query()[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(values[0], 10, 64)
		if err != nil || n > p.most || len(values) > 1 {
			return 0, 0, badRequest("Invalid parameter "+name, "found %q, expected one whole number from 0 to %d", clip(values[0]), p.most)
		}
		*p.to = n
	}
	return time.Duration(seconds) * time.Second, after, nil
}
