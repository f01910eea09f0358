package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// errTimeout is the cause of the context's end by --timeout.
var errTimeout = errors.New("--timeout reached")

// end returns the error of the command when listening ends.
func (l *listener) end(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Canceled
	case limited.Err() != nil && errors.Is(err, errTimeout):
		err = l.timedOut()
	case err != nil:
		err = l.problem(err)
	}
	if err == nil && l.failed > 0 {
		return fmt.Errorf("%s failed for %d of %d messages", l.o.program, l.failed, l.received)
	}
	return err
}

// timedOut returns the error of the end by --timeout, which is the intended one
// without --count.
func (l *listener) timedOut() error {
	text := "--timeout " + shortDuration(l.o.timeout) + " reached"
	switch {
	case l.device == nil:
		return withHint(&exitError{fmt.Errorf("%s before the push service responded", text), exitTemporary}, "increase --timeout")
	case l.o.count == 0:
		return nil
	}
	return withHint(&exitError{fmt.Errorf("%s: %d of %d messages have arrived", text, l.received, l.o.count), exitTemporary},
		"send with: "+l.sendCommand())
}

// problem gives an error its exit code and a hint.
func (l *listener) problem(err error) error {
	var (
		response *useragent.Error
		closed   *useragent.CloseError
		refused  *useragent.RegistrationError
	)
	_ = errors.As(err, &refused)
	switch errors.As(err, &response); {
	case response != nil && response.Gone():
		return &exitError{err, exitGone}
	case response != nil && response.Temporary():
		hint := "try again later"
		if response.Status == 0 && refused == nil {
			hint = l.unreachable()
		}
		return withHint(&exitError{err, exitTemporary}, hint)
	case refused != nil, response != nil && response.Status >= 400:
		return &exitError{err, exitRejected}
	case response != nil && strings.Contains(err.Error(), "x509: ") && l.o.caFile == "":
		return withHint(err, "to trust the CA of your own push service, use --ca-file FILE")
	case errors.As(err, &closed):
		return &exitError{err, exitTemporary}
	}
	return err
}

// unreachable is the hint for a push service that does not respond.
func (l *listener) unreachable() string {
	u, err := url.Parse(l.o.server)
	switch local := err == nil && webpush.Loopback(u.Hostname()); {
	case local && u.Scheme == "chromium":
		return "start a push service with: webpush push-service --chromium"
	case local:
		return "start a push service with: webpush push-service"
	}
	return "check the network; without the internet, start webpush push-service and use --server ws://127.0.0.1:8090"
}
