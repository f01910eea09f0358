// Package pgtest starts a PostgreSQL server for tests with the build tag e2e.
package pgtest
