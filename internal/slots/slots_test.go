package slots

import (
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast/internal/resp"
)

func TestSlotsAreThoseOfTheSpecification(t *testing.T) {
	for key, want := range map[string]uint16{
		"":                     0,
		"123456789":            0x31C3,
		"foo":                  12182,
		"bar":                  5061,
		"hello":                866,
		"somekey":              11058,
		"user1000":             3443,
		"{user1000}.following": 3443,
		"foo{bar}{zap}":        5061,
		"foo{{bar}}zap":        Of("{bar"),
		"\x00\xff":             Of("a{\x00\xff}"),
	} {
		if got := Of(key); got != want {
			t.Errorf("%q is in slot %d, want %d", key, got, want)
		}
	}
	for _, whole := range []string{"foo{}{bar}", "a{b", "a}b", "}{"} {
		if tag := hashTag(whole); tag != whole {
			t.Errorf("the tag of %q is %q", whole, tag)
		}
	}
}

func TestReferralsAreRead(t *testing.T) {
	for text, want := range map[string]Referral{
		"MOVED 3999 127.0.0.1:6381":               {Kind: Moved, Slot: 3999, Addr: "127.0.0.1:6381"},
		"ASK 0 host:1":                            {Kind: Ask, Slot: 0, Addr: "host:1"},
		"MOVED 16383 ::1:6381":                    {Kind: Moved, Slot: 16383, Addr: "[::1]:6381"},
		"MOVED 1 [::1]:6381":                      {Kind: Moved, Slot: 1, Addr: "[::1]:6381"},
		"MOVED 1 :6381":                           {Kind: Moved, Slot: 1, Addr: ":6381"},
		"TRYAGAIN Multiple keys request during r": {Kind: TryAgain},
		"CLUSTERDOWN The cluster is down":         {Kind: Down},
		"MOVED":                                   {},
		"MOVED 16384 h:1":                         {},
		"MOVED x h:1":                             {},
		"ASK 1 h":                                 {},
		"ERR MOVED 1 h:1":                         {},
	} {
		got, ok := ReadReferral([]byte(text))
		if ok != (want.Kind != noReferral) {
			t.Errorf("is %q a referral: got %v, want %v", text, ok, want.Kind != noReferral)
			continue
		}
		if want.Text = text; ok && got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := Neighbour("[::1]:1", ":2"); got != "[::1]:2" {
		t.Errorf("a node on the same host is at %s", got)
	}
}

func TestMapsAreRead(t *testing.T) {
	node := func(host any, port int64) []any { return []any{host, port, "id", []any{"ip", "10.0.0.9"}} }
	for name, c := range map[string]struct {
		ranges []any
		want   map[int]string
		err    error
	}{
		"hosts":               {[]any{[]any{int64(0), int64(1), node("a", 1), node("b", 2)}, []any{int64(3), int64(3), node("::1", 3)}}, map[int]string{0: "a:1", 1: "a:1", 2: "", 3: "[::1]:3"}, nil},
		"no host":             {[]any{[]any{int64(0), int64(5), node(nil, 7)}}, map[int]string{5: "asked:7"}, nil},
		"an empty host":       {[]any{[]any{int64(0), int64(5), node("", 7)}}, map[int]string{5: "asked:7"}, nil},
		"a host not known":    {[]any{[]any{int64(0), int64(5), node("?", 7)}}, map[int]string{5: "asked:7"}, nil},
		"none":                {nil, nil, errNoSlots},
		"too many":            {[]any{[]any{int64(0), int64(Count), node("a", 1)}}, nil, resp.ErrNotRedis},
		"negative":            {[]any{[]any{int64(-1), int64(0), node("a", 1)}}, nil, resp.ErrNotRedis},
		"backwards":           {[]any{[]any{int64(2), int64(1), node("a", 1)}}, nil, resp.ErrNotRedis},
		"nobody":              {[]any{[]any{int64(0), int64(1)}}, nil, resp.ErrNotRedis},
		"no port":             {[]any{[]any{int64(0), int64(1), []any{"a"}}}, nil, resp.ErrNotRedis},
		"a host of a number":  {[]any{[]any{int64(0), int64(1), []any{int64(1), int64(1)}}}, nil, resp.ErrNotRedis},
		"a port of letters":   {[]any{[]any{int64(0), int64(1), []any{"a", "1"}}}, nil, resp.ErrNotRedis},
		"no list":             {[]any{"a"}, nil, resp.ErrNotRedis},
		"a slot that is none": {[]any{[]any{"0", int64(1), node("a", 1)}}, nil, resp.ErrNotRedis},
	} {
		v, err := readMap(c.ranges, "asked:1")
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.err)
			continue
		}
		for slot, want := range c.want {
			if v[slot] != want {
				t.Errorf("%s: slot %d is at %q", name, slot, v[slot])
			}
		}
	}
}
