package embedded

import (
	"slices"
	"testing"
)

func TestURLsAreTakenApart(t *testing.T) {
	for env, want := range map[string][]string{
		"":                                  nil,
		" , ":                               nil,
		"redis://a:1,redis://b, rediss://c": {"redis://a:1", "redis://b", "rediss://c"},
		"a:1,b,c":                           {"a:1", "b", "c"},
		"a,redis://b,redis-sentinel://c,d/0?master=m,redis://e": {"a", "redis://b", "redis-sentinel://c,d/0?master=m", "redis://e"},
		"redis-sentinel://a,b?master=m redis://c":               {"redis-sentinel://a,b?master=m", "redis://c"},
	} {
		t.Setenv("HOLDFAST_REDIS", env)
		if got := Env(); !slices.Equal(got, want) {
			t.Errorf("%q is %q", env, got)
		}
	}
}
