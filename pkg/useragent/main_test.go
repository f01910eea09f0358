package useragent_test

import (
	"os"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/waittest"
)

func TestMain(m *testing.M) { os.Exit(waittest.Run(m)) }
