package sqlite

import (
	"context"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

func (s *store) Report(ctx context.Context, reports map[string]appserver.Reports) (added appserver.Reports, err error) {
	err = s.update(ctx, func(t tx) error {
		added = appserver.Reports{}
		for track, r := range reports {
			rows, err := t.query(ctx, "SELECT "+jobColumns+" FROM job j WHERE j.track = ? AND j.track <> ''", track)
			list, err := collect(rows, err, scanJob)
			if err != nil {
				return err
			}
			for _, j := range list {
				was := j.Reports
				now := was.Plus(r, j.Total)
				added = added.Plus(now.Minus(was), -1)
				if err := t.exec("UPDATE job SET shown = ?, clicked = ?, closed = ? WHERE seq = ?", now.Shown, now.Clicked, now.Closed, j.Seq); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return added, err
}
