package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// migrate updates the schema to the newest version.
func (s *store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no migrations found: %w", err)
	}
	slices.Sort(files)
	var version int
	if err := s.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(files) {
		return webpush.WithHint(fmt.Errorf("its schema has version %d, this program knows %d", version, len(files)), "use the newer release of webpush that wrote it")
	}
	for i, file := range files[version:] {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", text, version+i+1)
		if _, err := s.conn.ExecContext(ctx, script); err != nil {
			_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}
