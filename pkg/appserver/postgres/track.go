package postgres

import (
	"context"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

func (s *store) Report(ctx context.Context, reports map[string]appserver.Reports) (added appserver.Reports, err error) {
	var tracks []string
	var shown, clicked, closed []int64
	for track, r := range reports {
		tracks, shown, clicked, closed = append(tracks, track), append(shown, r.Shown), append(clicked, r.Clicked), append(closed, r.Closed)
	}
	err = s.update(ctx, func(t tx) error {
		// The old values are read under the lock of FOR UPDATE, in one order.
		return t.row(ctx, `WITH r AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) x(track, shown, clicked, closed)),
			o AS (SELECT j.seq, j.shown, j.clicked, j.closed, least(j.shown + r.shown, j.total) AS shown2, least(j.clicked + r.clicked, j.total) AS clicked2,
				least(j.closed + r.closed, j.total) AS closed2 FROM {s}.job j JOIN r ON j.track = r.track WHERE j.track <> '' ORDER BY j.seq FOR UPDATE OF j),
			u AS (UPDATE {s}.job j SET shown = shown2, clicked = clicked2, closed = closed2 FROM o WHERE j.seq = o.seq
				RETURNING o.shown2 - o.shown AS shown, o.clicked2 - o.clicked AS clicked, o.closed2 - o.closed AS closed)
			SELECT coalesce(sum(shown), 0)::bigint, coalesce(sum(clicked), 0)::bigint, coalesce(sum(closed), 0)::bigint FROM u`,
			[]any{tracks, shown, clicked, closed}, &added.Shown, &added.Clicked, &added.Closed)
	})
	return added, err
}
