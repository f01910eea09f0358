package backend_test

import (
	"context"
	"testing"
)

// contextOf returns a context that ends with the test, or after its deadline.
func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), deadline)
}
