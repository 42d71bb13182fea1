package instance

import (
	"slices"
	"testing"
)

func TestSplitURLs(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   nil,
		" , ":                                nil,
		"redis://a:1":                        {"redis://a:1"},
		"redis://a:1 redis://b:2\nredis://c": {"redis://a:1", "redis://b:2", "redis://c"},
		"redis://a:1,redis://b:2, redis://c": {"redis://a:1", "redis://b:2", "redis://c"},
		"a:1,b:2,c":                          {"a:1", "b:2", "c"},
		"a,redis://b,redis-sentinel://c,d/0?master=m,redis://e": {"a", "redis://b", "redis-sentinel://c,d/0?master=m", "redis://e"},
		"/run/a.sock,/run/b.sock":                               {"/run/a.sock", "/run/b.sock"},
		"redis-sentinel://a,b,c/0?master=m":                     {"redis-sentinel://a,b,c/0?master=m"},
		"redis-sentinel://a,b/0#m,redis://c:1":                  {"redis-sentinel://a,b/0#m", "redis://c:1"},
		"unix://u:p,w@/run/a.sock,redis://:q@b":                 {"unix://u:p,w@/run/a.sock", "redis://:q@b"},
	} {
		if got := SplitURLs(text); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
