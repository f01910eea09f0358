package pushservice

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSeconds is the value of a TTL that is too large (RFC 8030, section 5.2).
const maxSeconds = 1 << 31

const (
	// bodyTimeout is the time limit for the body of a request, and stopTimeout the
	// limit once the server stops.
	bodyTimeout = 30 * time.Second
	stopTimeout = time.Second
)

// readAll reads the body of a request, at most the given number of bytes. The error
// is a [*http.MaxBytesError] or an error of the connection.
func readAll(w http.ResponseWriter, r *http.Request, most int) ([]byte, error) {
	// This fails if w has no deadlines, as in tests without a network.
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout))
	stopped := make(chan struct{})
	stop := context.AfterFunc(r.Context(), func() {
		defer close(stopped)
		_ = c.SetReadDeadline(time.Now().Add(stopTimeout))
	})
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if !stop() { // w must not be touched when the handler has returned
		<-stopped
	}
	if err == nil { // otherwise, net/http would wait for the rest indefinitely
		_ = c.SetReadDeadline(time.Time{})
	}
	return body, err
}

// servePush handles a request to an endpoint; POST is a message request. It adds
// the request to the list before it writes the response, so clients find the
// request there.
func (s *Service) servePush(w http.ResponseWriter, r *http.Request, parts []string) {
	request := newRequest(r)
	as := s.as
	if parts[0] == "notify" {
		as = s.testing
	}
	refused := func(err error) {
		e := asError(err)
		request.Status = as.statusOf(e)
		s.log.add(request)
		s.logger.Warn("message refused", "status", request.Status, "subscription", short(request.Subscription), "bytes", request.BodyLength, "reason", e.Problem)
		as.write(w, e)
	}
	if as.preflights {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if preflight(w, r, http.StatusOK, "DELETE, GET, POST, PUT") {
			return
		}
	}
	if r.Method != http.MethodPost {
		refused(notAllowed(r, http.MethodPost))
		return
	}
	key := endpointKey(r.URL)
	if parts[0] == "wpush" && len(parts) == 2 { // as at autopush
		key = "/wpush/v1/" + parts[1]
	}
	sub, expired, known := s.store.lookup(key)
	request.Subscription = sub.ID
	body, bodyErr := s.readBody(w, r)
	request.BodyLength = len(body)

	if f := s.faults.next("", sub.ID); f != nil && f.respond(w, r, as, &request, s) {
		return
	}
	switch {
	case parts[0] == "wpush" && len(parts) == 3 && parts[1] != "v1" && parts[1] != "v2":
		refused(notFound("Invalid API version", "found %q, expected v1 or v2", clip(parts[1])))
		return
	case !known && as == s.testing:
		refused(notFound("Client not subscribed", "no subscription has this endpoint"))
		return
	case !known:
		refused(notFound("Invalid token", "no subscription has this endpoint"))
		return
	case expired:
		refused(gone())
		return
	}
	m, rs, origin, err := s.acceptMessage(r, as, sub, body, bodyErr)
	if err != nil {
		refused(err)
		return
	}
	request.Status = http.StatusCreated
	if rs != nil {
		request.Status = http.StatusAccepted
		w.Header().Set("Link", "<"+origin+rs.path+`>; rel="`+receiptRel+`"`)
	}
	s.log.add(request)
	s.logger.Info("message accepted", "status", request.Status, "subscription", short(sub.ID), "message", short(m.ID),
		"bytes", len(m.Body), "encoding", m.Encoding, "ttl", m.TTL, "urgency", m.Urgency, "topic", m.Topic)
	as.accepted(w.Header(), origin, &m)
	w.WriteHeader(request.Status)
}

// acceptMessage checks the message and stores it, or, for web-push-testing,
// decrypts it.
func (s *Service) acceptMessage(r *http.Request, as *personality, sub Subscription, body []byte, bodyErr error) (m AcceptedMessage, rs *receipts, origin string, err error) {
	if origin, err = s.originOf(r); err == nil {
		err = as.authorize(r.Header, sub.Key, origin)
	}
	if err == nil {
		err = bodyErr
	}
	if err != nil {
		return m, nil, origin, err
	}
	if m, err = parseMessage(as.header(r.Header), body, s.maxTTL); err == nil {
		err = as.check(r, &m)
	}
	if err != nil {
		return m, nil, origin, err
	}
	if as == s.testing {
		err = s.decrypt(sub.ID, m)
		return m, nil, origin, err
	}
	if as.receipts && wantsReceipt(r.Header) {
		if rs, err = s.receiptsFor(r.Header, origin); err != nil {
			return m, nil, origin, err
		}
	}
	m, err = s.store.accept(sub.ID, m, rs)
	return m, rs, origin, err
}

// decrypt decrypts a message to a subscription of web-push-testing and keeps its
// text.
func (s *Service) decrypt(id string, m AcceptedMessage) error {
	receiver := s.store.receiver(id)
	if receiver == nil {
		return gone()
	}
	if len(m.Body) == 0 {
		return badEncryption("Missing body", "there is nothing to decrypt")
	}
	payload, err := receiver.Decrypt(m)
	if err != nil {
		return badEncryption("Invalid body", "it cannot be decrypted: %v", err)
	}
	return s.store.keepText(id, string(payload))
}

// readBody reads the body of a message. The error is an *Error.
func (s *Service) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := readAll(w, r, s.maxBody)
	var long *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case !errors.As(err, &long):
		return body, badRequest("Invalid body", "it ended after %s: %v", bytesOf(len(body)), err)
	case r.ContentLength > 0:
		return body, refuse(http.StatusRequestEntityTooLarge, errnoTooLarge, "Body too large", "it has %s, expected at most %d", bytesOf(int(r.ContentLength)), s.maxBody).as(kindTooLarge)
	}
	return body, refuse(http.StatusRequestEntityTooLarge, errnoTooLarge, "Body too large", "it has more than %s", bytesOf(s.maxBody)).as(kindTooLarge)
}

// parseMessage checks everything in a message request except its sender (RFC 8030,
// section 5).
func parseMessage(h http.Header, body []byte, maxTTL int64) (AcceptedMessage, error) {
	var m AcceptedMessage
	ttl, err := parseTTL(h.Values("TTL"))
	if err != nil {
		return m, err
	}
	m.TTL = time.Duration(min(ttl, maxTTL)) * time.Second
	if m.Urgency, err = parseUrgency(h.Values("Urgency")); err != nil {
		return m, err
	}
	if m.Topic, err = parseTopic(h.Values("Topic")); err != nil {
		return m, err
	}
	if len(body) > 0 {
		err = checkEncryption(h, body, &m)
	}
	return m, err
}

// parseTTL reads a number of seconds (RFC 8030, section 5.2).
func parseTTL(values []string) (int64, error) {
	refuseTTL := func(errno int, what, format string, a ...any) (int64, error) {
		return 0, refuse(http.StatusBadRequest, errno, what, format, a...).as(kindTTL)
	}
	switch len(values) {
	case 0:
		return refuseTTL(errnoTTL, "Missing TTL value", "the request has no TTL header")
	case 1:
	default:
		return refuseTTL(errnoTTL, "Invalid TTL value", "the request has %d TTL headers", len(values))
	}
	value := values[0]
	digits := strings.TrimPrefix(value, "-")
	isDigit := func(r rune) bool { return '0' <= r && r <= '9' }
	switch {
	case digits == "" || strings.TrimLeftFunc(digits, isDigit) != "":
		return refuseTTL(errnoTTL, "Invalid TTL value", "found %q, expected a number of seconds in decimal digits", clip(value))
	case digits != value:
		return refuseTTL(errnoTTLNegative, "TTL must be greater than 0", "found %q", clip(value))
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxSeconds {
		return maxSeconds, nil
	}
	return n, nil
}

// parseUrgency reads one of four words (RFC 8030, section 5.3).
func parseUrgency(values []string) (string, error) {
	const expected = "expected one of very-low, low, normal, high"
	if len(values) == 0 {
		return "normal", nil
	}
	if len(values) > 1 {
		return "", badRequest("Invalid Urgency header", "found %d of them, %s", len(values), expected).as(kindUrgency)
	}
	switch u := strings.ToLower(values[0]); u {
	case "very-low", "low", "normal", "high":
		return u, nil
	}
	return "", badRequest("Invalid Urgency header", "found %q, %s", clip(values[0]), expected).as(kindUrgency)
}

// parseTopic reads at most 32 characters of base64url (RFC 8030, section 5.4).
func parseTopic(values []string) (string, error) {
	refuseTopic := func(what, format string, a ...any) (string, error) {
		return "", refuse(http.StatusBadRequest, errnoTopic, what, format, a...).as(kindTopic)
	}
	const alphabet = "Topic must be URL and Filename safe Base64 alphabet"
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return refuseTopic("Invalid Topic header", "found %d of them, expected one", len(values))
	}
	topic := values[0]
	if topic == "" {
		return refuseTopic(alphabet, "it is empty")
	}
	for i := range len(topic) {
		if !isBase64URL(topic[i]) {
			return refuseTopic(alphabet, "found %q", clip(topic))
		}
	}
	if n := len(topic); n > 32 {
		return refuseTopic("Topic must be no greater than 32 characters", "it has %d", n)
	}
	return topic, nil
}

// serveMessage cancels or acknowledges a message (RFC 8030, section 6.2).
func (s *Service) serveMessage(w http.ResponseWriter, r *http.Request, id string) error {
	if s.as.preflights {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if preflight(w, r, http.StatusOK, "DELETE, GET, POST, PUT") {
			return nil
		}
	}
	if r.Method != http.MethodDelete {
		return notAllowed(r, http.MethodDelete)
	}
	if err := s.Ack(id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
