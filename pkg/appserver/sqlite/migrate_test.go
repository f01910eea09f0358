package sqlite

import (
	"database/sql"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// A push that an earlier release was sending continues where it was.
func TestMigrate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "old.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := migrations.ReadFile("migrations/0001_start.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(string(schema) + `;
		PRAGMA user_version = 1;
		INSERT INTO subscription (id, endpoint, p256dh, auth, service, origin, user, tags, created)
			SELECT 'id' || value, 'https://push.example/' || value, '', '', 'other', 'https://push.example', '', '', 1 FROM json_each('[1,2,3,4,5,6,7,8,9]');
		INSERT INTO job (id, state, message, to_user, to_tag, max_seq, total, cursor_seq, open_seqs, created) VALUES
			('queued', 'queued', '{}', '', '', 9, 9, 0, '[]', 1),
			('running', 'running', '{}', '', '', 8, 8, 5, '[2,4]', 1),
			('failed', 'failed', '{}', '', '', 8, 8, 3, '[1]', 1),
			('done', 'done', '{}', '', '', 8, 8, 8, '[]', 1),
			('canceled', 'cancelled', '{}', '', '', 8, 8, 3, '[]', 1);`)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Retry(t.Context(), "failed", appserver.FailureFilter{}); err != nil {
		t.Error(err)
	}
	for id, want := range map[string][]appserver.Part{
		"queued":  {{Number: 1, UpTo: 9}},
		"running": {{Number: 1, UpTo: 5, Cursor: 5, Open: []int64{2, 4}}, {Number: 2, After: 5, UpTo: 8, Cursor: 5}},
		"failed":  {{Number: 1, UpTo: 3, Cursor: 3, Open: []int64{1}}, {Number: 2, After: 3, UpTo: 8, Cursor: 3}},
	} {
		for _, p := range want {
			got, err := s.Claim(t.Context(), id, appserver.Lease)
			p.JobID, p.Lease = id, 1
			if p.Open == nil {
				p.Open = []int64{}
			}
			if err != nil || !reflect.DeepEqual(got, p) {
				t.Errorf("%s: claimed %+v, %v; want %+v", id, got, err, p)
			}
		}
	}
	for id, want := range map[string]appserver.State{"done": appserver.Done, "canceled": appserver.Canceled} {
		if j, err := s.FindJob(t.Context(), id); err != nil || j.State != want {
			t.Errorf("%s: %+v, %v", id, j, err)
		}
	}
	if n, err := s.Retry(t.Context(), "done", appserver.FailureFilter{}); n != 0 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
}
