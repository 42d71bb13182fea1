package instance

import (
	"bufio"
	"bytes"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// arguments reads a command as a server does.
func arguments(t *testing.T, raw []byte) (args []string) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(raw))
	var r resp.Reply
	if err := r.Read(in); err != nil || r.Kind != resp.List || in.Buffered() != 0 {
		t.Fatalf("%q: %v, kind %d, %d bytes too many", raw, err, r.Kind, in.Buffered())
	}
	for _, arg := range r.List {
		if arg.Kind != resp.Text {
			t.Fatalf("%q: an argument of kind %d", raw, arg.Kind)
		}
		args = append(args, string(arg.Text))
	}
	return args
}

// FuzzCommands: whatever bytes names and tokens are made of, a server reads the
// commands that were meant, and a token comes back as it went.
func FuzzCommands(f *testing.F) {
	f.Add("resource", "locks:", "token", uint64(1))
	f.Add("a\r\n*1\r\n$8\r\nflushall\r\n", "\x00", "$-1\r\n", uint64(MaxFence))
	f.Add("\xff\xfe{", "}", "ü", uint64(1_790_000_000_123_456))
	f.Fuzz(func(t *testing.T, key, prefix, token string, fence uint64) {
		if len(key)+len(prefix)+len(token) > maxToken/2 {
			t.Skip("refused")
		}
		fence = max(1, fence&MaxFence)
		number := strconv.FormatUint(fence, 10)
		fencing := Fencing{Prefix: prefix, Fence: fence, FenceTTL: time.Hour, MaxAhead: time.Second}
		table, beside, besideToken := prefix+"fences:1", fencing.beside(key), fencing.beside(token)
		cell := cellOf(key)
		first, last, at := strconv.Itoa(7*cell), strconv.Itoa(7*cell+6), "#"+strconv.Itoa(cell)
		raised := new(raise)
		raised.join(&Acquire{Key: key, Fencing: fencing})
		ask := func(askLeft bool, fencing Fencing) *Acquire {
			return &Acquire{Key: key, Token: token, TTL: time.Second, GiveUp: time.Now().Add(time.Hour), AskLeft: askLeft, Fencing: fencing}
		}
		items := func(fencing Fencing) []Renewal {
			return []Renewal{{Key: key, Token: token, TTL: time.Second, Fencing: fencing}, {Key: token, Token: key, TTL: time.Minute, Fencing: fencing}}
		}
		plain := Fencing{}
		for _, c := range []struct {
			command Command
			want    []string
			beside  bool
		}{
			{ask(false, plain), []string{"set", key, token, "nx", "px", "1000"}, false},
			{ask(true, plain), []string{"evalsha", scripts.Acquire.SHA, "1", key, token, "1000"}, false},
			{ask(false, fencing), []string{"evalsha", scripts.AcquireFenced.SHA, "2", key, beside, token, "1000", number, "3600000", "1000000", number}, true},
			{ask(false, fencing), []string{"evalsha", scripts.AcquireRaise.SHA, "2", key, table, token, "1000", number, number, first, last, "1000000"}, false},
			{raised, []string{"bitfield", table, "overflow", "sat", "get", "u56", at, "incrby", "u56", at, "-" + number, "incrby", "u56", at, number}, false},
			{&Release{Key: key, Token: token}, []string{"evalsha", scripts.Release.SHA, "1", key, token}, false},
			{&Release{Key: key, Token: token, Fencing: fencing}, []string{"evalsha", scripts.ReleaseFenced.SHA, "2", key, beside, token, number, "3600000"}, true},
			{&Release{Key: key, Token: token, Fencing: fencing}, []string{"evalsha", scripts.ReleaseRaise.SHA, "2", key, table, token, number, first, last}, false},
			{&bundle{releases: []*Release{{Key: key, Token: token}, {Key: token, Token: key}}}, []string{"evalsha", scripts.ReleaseMany.SHA, "2", key, token, token, key}, false},
			{&Renew{Items: items(plain)}, []string{"evalsha", scripts.Renew.SHA, "2", key, token, token, "1000", key, "60000"}, true},
			{&Renew{Items: items(fencing)}, []string{"evalsha", scripts.Renew.SHA, "2", key, token, token, "1000", key, "60000"}, false},
			{&Renew{Items: items(fencing)}, []string{
				"evalsha", scripts.RenewFenced.SHA, "4", key, beside, token, besideToken,
				token, "1000", "3600000", key, "60000", "3600000",
			}, true},
			{&Inspect{Key: key}, []string{"evalsha", scripts.Inspect.SHA, "1", key}, false},
		} {
			raw, ok := c.command.appendCommand(&sending{actor: bare("").actor, now: time.Now(), beside: c.beside}, nil)
			if got := arguments(t, raw); !ok || !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		}

		held := resp.AppendArg(append(resp.AppendArg([]byte("*4\r\n:0\r\n"), token), ":5\r\n"...), number)
		var r resp.Reply
		if err := r.Read(bufio.NewReader(bytes.NewReader(held))); err != nil {
			t.Fatalf("r.Read: %v", err)
		}
		if v := ask(true, fencing).read(&sending{actor: bare("").actor}, r.List[0].N, r.List[1:]); v.Kind != Held || v.Holder != token || v.Fence != fence {
			t.Errorf("%v by %q, fence %d; want %q, %d", v.Kind, v.Holder, v.Fence, token, fence)
		}
	})
}
