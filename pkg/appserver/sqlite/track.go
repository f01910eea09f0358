package sqlite

import (
	"context"
	"database/sql"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

func (s *store) Report(ctx context.Context, reports map[string]appserver.Reports) (added appserver.Reports, err error) {
	err = s.update(ctx, func(t tx) error {
		added = appserver.Reports{}
		for track, r := range reports {
			rows, err := t.query(ctx, "SELECT seq, total, shown, clicked, closed FROM job WHERE track = ? AND track <> ''", track)
			list, err := collect(rows, err, func(rows *sql.Rows) (j appserver.Job, err error) {
				return j, rows.Scan(&j.Seq, &j.Total, &j.Reports.Shown, &j.Reports.Clicked, &j.Reports.Closed)
			})
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
