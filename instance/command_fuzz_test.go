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
	f.Add("resource", "fence:{resource}", "token", uint64(1))
	f.Add("a\r\n*1\r\n$8\r\nflushall\r\n", "\x00", "$-1\r\n", uint64(MaxFence))
	f.Add("\xff\xfe{", "}", "ü", uint64(1_790_000_000_123_456))
	f.Fuzz(func(t *testing.T, key, fenceKey, token string, fence uint64) {
		if len(key)+len(fenceKey)+len(token) > maxToken/2 || fenceKey == "" {
			t.Skip("refused")
		}
		fence &= MaxFence
		number := strconv.FormatUint(fence, 10)
		fencing := Fencing{FenceKey: fenceKey, Fence: fence, FenceTTL: time.Hour, MaxAhead: time.Second}
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
		}{
			{ask(false, plain), []string{"set", key, token, "nx", "px", "1000"}},
			{ask(true, plain), []string{"evalsha", scripts.Acquire.SHA, "1", key, token, "1000"}},
			{ask(false, fencing), []string{"evalsha", scripts.AcquireFenced.SHA, "2", key, fenceKey, token, "1000", number, "3600000", "1000000", number}},
			{&Release{Key: key, Token: token}, []string{"evalsha", scripts.Release.SHA, "1", key, token}},
			{&Release{Key: key, Token: token, Fencing: fencing}, []string{"evalsha", scripts.ReleaseFenced.SHA, "2", key, fenceKey, token, number, "3600000"}},
			{&bundle{releases: []*Release{{Key: key, Token: token}, {Key: token, Token: key}}}, []string{"evalsha", scripts.ReleaseMany.SHA, "2", key, token, token, key}},
			{&Renew{Items: items(plain)}, []string{"evalsha", scripts.Renew.SHA, "2", key, token, token, "1000", key, "60000"}},
			{&Renew{Items: items(fencing)}, []string{
				"evalsha", scripts.RenewFenced.SHA, "4", key, fenceKey, token, fenceKey,
				token, "1000", "3600000", key, "60000", "3600000",
			}},
			{&Inspect{Key: key}, []string{"evalsha", scripts.Inspect.SHA, "1", key}},
		} {
			raw, ok := c.command.appendCommand(&sending{actor: bare("").actor, now: time.Now()}, nil)
			if got := arguments(t, raw); !ok || !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		}

		held := resp.AppendArg(append(resp.AppendArg([]byte("*4\r\n:0\r\n"), token), ":5\r\n"...), number)
		var r resp.Reply
		if err := r.Read(bufio.NewReader(bytes.NewReader(held))); err != nil {
			t.Fatalf("r.Read: %v", err)
		}
		if v := ask(true, fencing).read(&sending{actor: bare("").actor}, &r); v.Kind != Held || v.Holder != token || v.Fence != fence {
			t.Errorf("%v by %q, fence %d; want %q, %d", v.Kind, v.Holder, v.Fence, token, fence)
		}
	})
}
