package declarative_test

import (
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/declarative"
)

func TestPayload(t *testing.T) {
	for payload, want := range map[string]bool{
		`{"web_push":8030,"notification":{"title":"T"}}`:          true,
		`{"web_push":8.03e3,"notification":{"title":"T","x":[]}}`: true,
		`{"web_push":"8030","notification":{"title":"T"}}`:        false,
		`{"web_push":8031,"notification":{"title":"T"}}`:          false,
		`{"notification":{"title":"T"}}`:                          false,
		`{"web_push":8030,"notification":{"title":""}}`:           false,
		`{"web_push":8030,"notification":{"title":7}}`:            false,
		`{"web_push":8030,"notification":{}}`:                     false,
		`{"web_push":8030,"notification":"T"}`:                    false,
		`{"web_push":8030}`:                                       false,
		`[8030]`:                                                  false, `null`: false, ``: false, "\xff": false,
	} {
		if got := declarative.Payload([]byte(payload)); got != want {
			t.Errorf("%s: %v", payload, got)
		}
	}
}
