package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// LaneStatus is the state of a lane.
type LaneStatus struct {
	Lane string // name of the lane
	// Waiting is the number of messages that no worker has received yet. Taken is the
	// number of messages that workers have or that wait for another attempt.
	Waiting, Taken int64
	// Age is the time since the oldest message was published; 0 without messages.
	Age time.Duration
}

// Status returns the state of the lanes.
func (q *Queue) Status(ctx context.Context) ([]LaneStatus, error) {
	info, err := q.opened.Load().send.Info(ctx, jetstream.WithSubjectFilter(sendSubjects))
	if err != nil {
		return nil, serverError("the state of the stream cannot be read", err)
	}
	var list []LaneStatus
	for _, lane := range Lanes() {
		s := LaneStatus{Lane: lane, Waiting: int64(info.State.Subjects[sendPrefix+lane])}
		if c, err := q.opened.Load().send.Consumer(ctx, "webpush-"+lane); err == nil {
			s.Taken = int64(c.CachedInfo().NumAckPending)
			s.Waiting = int64(c.CachedInfo().NumPending)
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, serverError("the state of the lane "+lane+" cannot be read", err)
		}
		msg, err := q.opened.Load().send.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(sendPrefix+lane))
		switch {
		case err == nil:
			s.Age = max(0, info.TimeStamp.Sub(msg.Time))
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, serverError("the state of the lane "+lane+" cannot be read", err)
		}
		list = append(list, s)
	}
	return list, nil
}
