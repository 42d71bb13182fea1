package engine_test

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// What an engine has made is told from what others may have put into a key.
func TestATokenIsTakenApart(t *testing.T) {
	for _, owner := range []string{"", "host-1", "ann@host-1:4711"} {
		cfg := config()
		cfg.Owner = owner
		simulate(t, 1, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
			token := acquire(t, e, "r").Token()
			if got, ok := engine.ParseToken(token); got != owner || !ok {
				t.Errorf("%q is taken for one of %q (%v)", token, got, ok)
			}
		})
	}
	random := strings.Repeat("A2", 13)
	for value, ours := range map[string]bool{
		random:                                  true,
		"me~" + random:                          true,
		"":                                      false,
		"~" + random:                            false,
		"me~":                                   false,
		random[1:]:                              false,
		random + "A":                            false,
		strings.ToLower(random):                 false,
		random[1:] + "1":                        false,
		"a~b~" + random:                         false,
		"line\nbreak~" + random:                 false,
		"4c7d1f2a-33bb-4c07-9d5e-1f2a4c7d1f2a":  false, // as others make them
		strings.Repeat("o", 129) + "~" + random: false,
	} {
		if _, ok := engine.ParseToken(value); ok != ours {
			t.Errorf("is %q a token of ours: got %v, want %v", value, ok, ours)
		}
	}
}
