package instance

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRepliesAreReadWhateverTheirPieces(t *testing.T) {
	number := func(n int64) reply { return reply{kind: numberReply, n: n} }
	text := func(s string) reply { return reply{kind: textReply, text: []byte(s)} }
	for _, c := range []struct {
		raw  string
		want reply
	}{
		{"+OK\r\n", text("OK")},
		{"$5\r\nhello\r\n", text("hello")},
		{"$0\r\n\r\n", text("")},
		{"$4\r\na\r\nb\r\n", text("a\r\nb")},
		{"$-1\r\n", reply{kind: nilReply}},
		{"*-1\r\n", reply{kind: nilReply}},
		{"_\r\n", reply{kind: nilReply}},
		{":1\r\n", number(1)},
		{":-1\r\n", number(-1)},
		{":999999999999999999\r\n", number(999999999999999999)},
		{"-ERR no\r\n", reply{kind: errorReply, text: []byte("ERR no")}},
		{"*0\r\n", reply{kind: listReply}},
		{"*3\r\n:0\r\n$1\r\nx\r\n:-2\r\n", reply{kind: listReply, list: []reply{number(0), text("x"), number(-2)}}},
		{"*1\r\n*1\r\n:7\r\n", reply{kind: listReply, list: []reply{{kind: listReply, list: []reply{number(7)}}}}},
	} {
		for name, in := range map[string]io.Reader{
			"whole": strings.NewReader(c.raw), "byte by byte": iotest.OneByteReader(strings.NewReader(c.raw)),
		} {
			var got reply
			if err := got.read(bufio.NewReader(in)); err != nil || !sameReply(got, c.want) {
				t.Errorf("%q, %s: %+v, %v", c.raw, name, got, err)
			}
		}
	}
}

func sameReply(a, b reply) bool {
	if a.kind != b.kind || len(a.list) != len(b.list) && a.kind == listReply {
		return false
	}
	switch a.kind {
	case numberReply:
		return a.n == b.n
	case textReply, errorReply:
		return string(a.text) == string(b.text)
	case listReply:
		for k := range a.list {
			if !sameReply(a.list[k], b.list[k]) {
				return false
			}
		}
	}
	return true
}

func TestWhatIsNoReplyIsRefused(t *testing.T) {
	for _, raw := range []string{
		"\r\n", "x\r\n", "HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "$-2\r\n", "$9999999999\r\n", "$3\r\nabcde\r\n", ":\r\n", ":1x\r\n",
		":9999999999999999999\r\n", "*99999\r\n", "*-2\r\n", "*1\r\n*1\r\n*1\r\n:1\r\n", "+" + strings.Repeat("x", 1<<17) + "\r\n", "+no end\n",
	} {
		if err := new(reply).read(bufio.NewReader(strings.NewReader(raw))); !errors.Is(err, errNotRedis) {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
	for _, raw := range []string{"", "$5\r\nhel", "*2\r\n:1\r\n", "+OK"} {
		if err := new(reply).read(bufio.NewReader(strings.NewReader(raw))); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q, cut off: %v", raw, err)
		}
	}
}

func TestAReplyLeavesNothingOfTheOneBefore(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("*2\r\n$5\r\nhello\r\n:7\r\n*2\r\n:1\r\n$2\r\nyo\r\n*1\r\n:3\r\n$-1\r\n"))
	var r reply
	for _, want := range []reply{
		{kind: listReply, list: []reply{{kind: textReply, text: []byte("hello")}, {kind: numberReply, n: 7}}},
		{kind: listReply, list: []reply{{kind: numberReply, n: 1}, {kind: textReply, text: []byte("yo")}}},
		{kind: listReply, list: []reply{{kind: numberReply, n: 3}}},
		{kind: nilReply},
	} {
		if err := r.read(in); err != nil || !sameReply(r, want) {
			t.Errorf("%+v, %v; want %+v", r, err, want)
		}
	}
}

func TestCommandsAreEncodedAsRedisReadsThem(t *testing.T) {
	got := string(appendNumber(appendArg(appendScript(nil, lua{sha: "abc"}, 1, 2), "k\r\n\x00"), -42))
	want := "*6\r\n$7\r\nevalsha\r\n$3\r\nabc\r\n$1\r\n1\r\n$4\r\nk\r\n\x00\r\n$3\r\n-42\r\n"
	if got != want {
		t.Errorf("%q\n%q", got, want)
	}
}

func FuzzReply(f *testing.F) {
	for _, raw := range []string{"$5\r\nhello\r\n", "*3\r\n:0\r\n$1\r\nx\r\n:-2\r\n", "-ERR no\r\n", "_\r\n", "*-1\r\n"} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a, b reply
		errA := a.read(bufio.NewReader(strings.NewReader(string(raw))))
		errB := b.read(bufio.NewReader(iotest.OneByteReader(strings.NewReader(string(raw)))))
		if (errA == nil) != (errB == nil) || errA == nil && (!sameReply(a, b) || !reflect.DeepEqual(a.kind, b.kind)) {
			t.Errorf("in one piece: %+v, %v; in many: %+v, %v", a, errA, b, errB)
		}
	})
}
