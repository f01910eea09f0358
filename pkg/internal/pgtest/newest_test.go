package pgtest

import "testing"

func TestNewest(t *testing.T) {
	of := func(versions ...string) (programs []string) {
		for _, v := range versions {
			programs = append(programs, "/usr/lib/postgresql/"+v+"/bin/initdb")
		}
		return programs
	}
	for _, programs := range [][]string{of("17"), of("15", "17", "9.6"), of("17", "9.6", "16"), of("9.5", "17")} {
		if got := newest(programs); got != "/usr/lib/postgresql/17/bin" {
			t.Errorf("of %v, the newest is %s", programs, got)
		}
	}
	if got := newest(nil); got != "" {
		t.Errorf("of none, the newest is %s", got)
	}
}
