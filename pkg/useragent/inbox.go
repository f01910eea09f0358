package useragent

import "context"

// nextItem returns the next message or error that a connection queued, over a
// WebSocket or MCS. state returns why the connection ended for good and its last
// problem, and end the error after done.
func nextItem(ctx context.Context, items <-chan *item, done <-chan struct{}, state func() (final, last error), end func() error) (wireMessage, error) {
	if ctx.Err() != nil {
		return wireMessage{}, context.Cause(ctx)
	}
	if final, _ := state(); final == ErrClosed {
		return wireMessage{}, ErrClosed
	}
	select {
	case i := <-items:
		return i.message, i.err
	default:
	}
	select {
	case i := <-items:
		return i.message, i.err
	case <-done:
		// What came before the end comes first.
		select {
		case i := <-items:
			return i.message, i.err
		default:
		}
		return wireMessage{}, end()
	case <-ctx.Done():
		_, last := state()
		return wireMessage{}, ended(ctx, last)
	}
}
