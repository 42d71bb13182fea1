package instance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestRepliesAreReadWhateverTheirPieces(t *testing.T) {
	number := func(n int64) reply { return reply{kind: numberReply, n: n} }
	long := strings.Repeat("x", maxText)
	text := func(s string) reply { return reply{kind: textReply, text: []byte(s)} }
	for _, c := range []struct {
		raw  string
		want reply
	}{
		{"+OK\r\n", reply{kind: statusReply, text: []byte("OK")}},
		{"$5\r\nhello\r\n", text("hello")},
		{"$0\r\n\r\n", text("")},
		{"$4\r\na\r\nb\r\n", text("a\r\nb")},
		{"$-1\r\n", reply{kind: nilReply}},
		{"*-1\r\n", reply{kind: nilReply}},
		{"_\r\n", reply{kind: nilReply}},
		{":1\r\n", number(1)},
		{":-1\r\n", number(-1)},
		{":9223372036854775807\r\n", number(math.MaxInt64)},
		{":-9223372036854775808\r\n", number(math.MinInt64)},
		{"-ERR no\r\n", reply{kind: errorReply, text: []byte("ERR no")}},
		{"*0\r\n", reply{kind: listReply}},
		{"*3\r\n:0\r\n$1\r\nx\r\n:-2\r\n", reply{kind: listReply, list: []reply{number(0), text("x"), number(-2)}}},
		{"#t\r\n", reply{kind: oddReply}},
		{"%1\r\n+a\r\n*2\r\n:1\r\n!2\r\nno\r\n", reply{kind: oddReply}},
		{"$4097\r\n" + long + "x\r\n", reply{kind: textReply, cut: true, text: []byte(long)}},
		{"-" + long + "x\r\n", reply{kind: errorReply, cut: true, text: []byte(long)}},
		{"+" + strings.Repeat(long, 17) + "\r\n", reply{kind: statusReply, cut: true, text: []byte(long)}},
		{"*1\r\n*1\r\n*2\r\n$-1\r\n*1\r\n+x\r\n", reply{kind: listReply, list: []reply{{kind: listReply, list: []reply{{kind: listReply, cut: true}}}}}},
		{"*1\r\n*1\r\n:7\r\n", reply{kind: listReply, list: []reply{{kind: listReply, list: []reply{number(7)}}}}},
	} {
		for name, in := range map[string]io.Reader{
			"whole": strings.NewReader(c.raw), "byte by byte": iotest.OneByteReader(strings.NewReader(c.raw)),
		} {
			var got, behind reply
			buffer := bufio.NewReaderSize(io.MultiReader(in, strings.NewReader(":42\r\n")), 2*maxText)
			if err := got.read(buffer); err != nil || !sameReply(got, c.want) {
				t.Errorf("%.40q, %s: %s, %v", c.raw, name, brief(got), err)
			}
			if err := behind.read(buffer); err != nil || behind.n != 42 {
				t.Errorf("%.40q, %s: what comes behind it is %s, %v", c.raw, name, brief(behind), err)
			}
		}
	}
}

func brief(r reply) string {
	return fmt.Sprintf("kind %d, cut %v, unread %v, %d, %.20q of %d, %d items", r.kind, r.cut, r.unread, r.n, r.text, len(r.text), len(r.list))
}

func sameReply(a, b reply) bool {
	if a.kind != b.kind || a.cut != b.cut || a.unread != b.unread || len(a.list) != len(b.list) && a.kind == listReply {
		return false
	}
	switch a.kind {
	case numberReply:
		return a.n == b.n
	case textReply, statusReply, errorReply:
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
		"\r\n", "x\r\n", "HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "$-2\r\n", "$3\r\nabcde\r\n", ":\r\n", ":1x\r\n",
		":9223372036854775808\r\n", ":-9223372036854775809\r\n", ":99999999999999999999\r\n", "*-2\r\n", "+no end\n",
		"+" + strings.Repeat("x", 1<<17) + "\n", ":" + strings.Repeat("1", 1<<17) + "\r\n", "$5000\r\n" + strings.Repeat("x", 5002),
		"*1\r\n*1\r\n*1\r\nx\r\n", "%1\r\n$3\r\nabcde\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n",
	} {
		if err := new(reply).read(bufio.NewReader(strings.NewReader(raw))); !errors.Is(err, errNotRedis) {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
	for _, raw := range []string{"", "$5\r\nhel", "*2\r\n:1\r\n", "+OK", "$9999999999\r\n", "*99999\r\n"} {
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

// A reply that is too long to be waited for is said to be, whatever it is made of; its
// beginning is there.
func TestWhatIsTooLongIsNotRead(t *testing.T) {
	endless := func(beginning, again string) io.Reader {
		return io.MultiReader(strings.NewReader(beginning), iotest.DataErrReader(strings.NewReader(strings.Repeat(again, 3*maxSkip/len(again)))))
	}
	for _, c := range []struct{ beginning, again string }{
		{"$536870912\r\n", "x"},
		{"$9223372036854775807\r\n", "x"},
		{"-", "x"},
		{"+", "x"},
		{"*9223372036854775807\r\n", ":1\r\n"},
		{"*2\r\n:1\r\n$536870912\r\n", "x"},
		{"%9223372036854775807\r\n", "+a\r\n"},
		{"", "*1\r\n"},
		{"*600\r\n", "*9223372036854775807\r\n"},
		{">2\r\n+a\r\n", "*1000\r\n"},
		{"*1\r\n*1\r\n*1\r\n-", "x"},
		{"=536870912\r\n", "x"},
	} {
		var r reply
		if err := r.read(bufio.NewReader(endless(c.beginning, c.again))); err != nil || !r.unread {
			t.Errorf("%q and then many times %q: %v, unread: %v", c.beginning, c.again, err, r.unread)
		}
		if size := cap(r.text); size > maxText+64 {
			t.Errorf("%q and then many times %q: %d bytes are kept", c.beginning, c.again, size)
		}
	}
	var r reply
	if err := r.read(bufio.NewReader(endless("$536870912\r\nbeginning", "x"))); err != nil || !strings.HasPrefix(string(r.text), "beginning") || len(r.text) != maxText {
		t.Errorf("%.40q, %v", r.text, err)
	}
}

func TestATimeIsAsLongAsThereIsOne(t *testing.T) {
	for n, want := range map[int64]time.Duration{
		0: 0, 1: time.Millisecond, 9223372036854: 9223372036854 * time.Millisecond, 9223372036855: math.MaxInt64, math.MaxInt64: math.MaxInt64,
		9000000000000000000: math.MaxInt64,
	} {
		if got := (&reply{kind: numberReply, n: n}).left(); got != want {
			t.Errorf("PTTL %d: %v", n, got)
		}
	}
	for _, r := range []reply{{kind: numberReply, n: -1}, {kind: numberReply, n: math.MinInt64}, {kind: textReply}} {
		if got := r.left(); got >= 0 {
			t.Errorf("%+v: %v", r, got)
		}
	}
}

// valid makes a reply out of any bytes: of every type, long and short.
func valid(raw []byte, depth int) (text string, rest []byte) {
	if len(raw) < 2 {
		return "_\r\n", nil
	}
	mark, size, raw := raw[0], int(raw[1]), raw[2:]
	body := strings.Repeat("abc~", size*size/4) // up to 64 KB
	items := func(n int) (all string) {
		if depth > 5 {
			n = 0
		}
		all = strconv.Itoa(n) + "\r\n"
		for range n {
			var item string
			item, raw = valid(raw, depth+1)
			all += item
		}
		return all
	}
	switch mark % 13 {
	case 0:
		text = "+" + body + "\r\n"
	case 1:
		text = "-" + body + "\r\n"
	case 2:
		text = ":" + strconv.FormatInt((int64(size)-128)<<56, 10) + "\r\n"
	case 3:
		text = "$-1\r\n"
	case 4:
		text = "*-1\r\n"
	case 5, 6:
		text = "$" + strconv.Itoa(len(body)) + "\r\n" + body + "\r\n"
	case 7:
		text = "*" + items(size%8)
	case 8:
		text = "*" + strconv.Itoa(8*size) + "\r\n" + strings.Repeat(":7\r\n", 8*size)
	case 9:
		text = ">" + items(size%8)
	case 10:
		n := size % 4
		text = "%" + strconv.Itoa(n) + strings.TrimPrefix(items(2*n), strconv.Itoa(2*n))
		if depth > 5 {
			text = "%0\r\n"
		}
	case 11:
		text = "!" + strconv.Itoa(len(body)) + "\r\n" + body + "\r\n"
	case 12:
		text = ",1.5\r\n"
	}
	return text, raw
}

// FuzzValidReply: whatever a server replies, the next reply is read as what it is, or
// it is said that it will not be.
func FuzzValidReply(f *testing.F) {
	for _, seed := range []string{"", "\x00\xff", "\x05\x80", "\x05\xff", "\x08\xff", "\x07\x07\x05\x50\x08\x50\x02\x01\x01\x90\x07\x03\x07\x02\x07\x01\x09\x02\x0a\x03\x0b\x10\x0c\x00", "\x02\x00\x02\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, _ := valid(raw, 0)
		in := bufio.NewReaderSize(io.MultiReader(strings.NewReader(text), strings.NewReader("$4\r\nnext\r\n")), 1<<10)
		var r, next reply
		err := r.read(in)
		switch {
		case err != nil:
			t.Fatalf("%.200q: %v", text, err)
		case r.unread && len(text) <= maxSkip:
			t.Errorf("%.200q: %d bytes are unread", text, len(text))
		case r.unread:
		default:
			if err := next.read(in); err != nil || string(next.text) != "next" {
				t.Errorf("%.200q: what comes behind is %s, %v", text, brief(next), err)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, raw := range []string{"$5\r\nhello\r\n", "*3\r\n:0\r\n$1\r\nx\r\n:-2\r\n", "-ERR no\r\n", "_\r\n", "*-1\r\n"} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a, b reply
		errA := a.read(bufio.NewReader(strings.NewReader(string(raw))))
		errB := b.read(bufio.NewReader(iotest.OneByteReader(strings.NewReader(string(raw)))))
		if (errA == nil) != (errB == nil) || errA == nil && (!sameReply(a, b)) {
			t.Errorf("in one piece: %+v, %v; in many: %+v, %v", a, errA, b, errB)
		}
	})
}
