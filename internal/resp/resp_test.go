package resp

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
)

func TestRepliesAreReadWhateverTheirPieces(t *testing.T) {
	number := func(n int64) Reply { return Reply{Kind: Number, N: n} }
	long := strings.Repeat("x", maxText)
	text := func(s string) Reply { return Reply{Kind: Text, Text: []byte(s)} }
	for _, c := range []struct {
		raw  string
		want Reply
	}{
		{"+OK\r\n", Reply{Kind: Status, Text: []byte("OK")}},
		{"$5\r\nhello\r\n", text("hello")},
		{"$0\r\n\r\n", text("")},
		{"$4\r\na\r\nb\r\n", text("a\r\nb")},
		{"$-1\r\n", Reply{Kind: Nil}},
		{"*-1\r\n", Reply{Kind: Nil}},
		{"_\r\n", Reply{Kind: Nil}},
		{":1\r\n", number(1)},
		{":-1\r\n", number(-1)},
		{":9223372036854775807\r\n", number(math.MaxInt64)},
		{":-9223372036854775808\r\n", number(math.MinInt64)},
		{"-ERR no\r\n", Reply{Kind: Error, Text: []byte("ERR no")}},
		{"*0\r\n", Reply{Kind: List}},
		{"*3\r\n:0\r\n$1\r\nx\r\n:-2\r\n", Reply{Kind: List, List: []Reply{number(0), text("x"), number(-2)}}},
		{"#t\r\n", Reply{Kind: Other}},
		{"%1\r\n+a\r\n*2\r\n:1\r\n!2\r\nno\r\n", Reply{Kind: Other}},
		{"$4097\r\n" + long + "x\r\n", Reply{Kind: Text, Cut: true, Text: []byte(long)}},
		{"-" + long + "x\r\n", Reply{Kind: Error, Cut: true, Text: []byte(long)}},
		{"+" + strings.Repeat(long, 17) + "\r\n", Reply{Kind: Status, Cut: true, Text: []byte(long)}},
		{"*1\r\n*1\r\n*2\r\n$-1\r\n*1\r\n+x\r\n", Reply{Kind: List, List: []Reply{{Kind: List, List: []Reply{{Kind: List, Cut: true}}}}}},
		{"*1\r\n*1\r\n:7\r\n", Reply{Kind: List, List: []Reply{{Kind: List, List: []Reply{number(7)}}}}},
	} {
		for name, in := range map[string]io.Reader{
			"whole": strings.NewReader(c.raw), "byte by byte": iotest.OneByteReader(strings.NewReader(c.raw)),
		} {
			var got, behind Reply
			buffer := bufio.NewReaderSize(io.MultiReader(in, strings.NewReader(":42\r\n")), 2*maxText)
			if err := got.Read(buffer); err != nil || !sameReply(got, c.want) {
				t.Errorf("%.40q, %s: %s, %v", c.raw, name, brief(got), err)
			}
			if err := behind.Read(buffer); err != nil || behind.N != 42 {
				t.Errorf("%.40q, %s: what comes behind it is %s, %v", c.raw, name, brief(behind), err)
			}
		}
	}
}

func brief(r Reply) string {
	return fmt.Sprintf("kind %d, cut %v, unread %v, %d, %.20q of %d, %d items", r.Kind, r.Cut, r.Unread, r.N, r.Text, len(r.Text), len(r.List))
}

func sameReply(a, b Reply) bool {
	if a.Kind != b.Kind || a.Cut != b.Cut || a.Unread != b.Unread || len(a.List) != len(b.List) && a.Kind == List {
		return false
	}
	switch a.Kind {
	case Number:
		return a.N == b.N
	case Text, Status, Error:
		return string(a.Text) == string(b.Text)
	case List:
		for k := range a.List {
			if !sameReply(a.List[k], b.List[k]) {
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
		if err := new(Reply).Read(bufio.NewReader(strings.NewReader(raw))); !errors.Is(err, ErrNotRedis) {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
	for _, raw := range []string{"", "$5\r\nhel", "*2\r\n:1\r\n", "+OK", "$9999999999\r\n", "*99999\r\n"} {
		if err := new(Reply).Read(bufio.NewReader(strings.NewReader(raw))); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q, cut off: %v", raw, err)
		}
	}
}

func TestAReplyLeavesNothingOfTheOneBefore(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("*2\r\n$5\r\nhello\r\n:7\r\n*2\r\n:1\r\n$2\r\nyo\r\n*1\r\n:3\r\n$-1\r\n"))
	var r Reply
	for _, want := range []Reply{
		{Kind: List, List: []Reply{{Kind: Text, Text: []byte("hello")}, {Kind: Number, N: 7}}},
		{Kind: List, List: []Reply{{Kind: Number, N: 1}, {Kind: Text, Text: []byte("yo")}}},
		{Kind: List, List: []Reply{{Kind: Number, N: 3}}},
		{Kind: Nil},
	} {
		if err := r.Read(in); err != nil || !sameReply(r, want) {
			t.Errorf("%+v, %v; want %+v", r, err, want)
		}
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
		var r Reply
		if err := r.Read(bufio.NewReader(endless(c.beginning, c.again))); err != nil || !r.Unread {
			t.Errorf("%q and then many times %q: %v, unread: %v", c.beginning, c.again, err, r.Unread)
		}
		if size := cap(r.Text); size > maxText+64 {
			t.Errorf("%q and then many times %q: %d bytes are kept", c.beginning, c.again, size)
		}
	}
	var r Reply
	if err := r.Read(bufio.NewReader(endless("$536870912\r\nbeginning", "x"))); err != nil || !strings.HasPrefix(string(r.Text), "beginning") || len(r.Text) != maxText {
		t.Errorf("%.40q, %v", r.Text, err)
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
		var r, next Reply
		err := r.Read(in)
		switch {
		case err != nil:
			t.Fatalf("%.200q: %v", text, err)
		case r.Unread && len(text) <= maxSkip:
			t.Errorf("%.200q: %d bytes are unread", text, len(text))
		case r.Unread:
		default:
			if err := next.Read(in); err != nil || string(next.Text) != "next" {
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
		var a, b Reply
		errA := a.Read(bufio.NewReader(strings.NewReader(string(raw))))
		errB := b.Read(bufio.NewReader(iotest.OneByteReader(strings.NewReader(string(raw)))))
		if (errA == nil) != (errB == nil) || errA == nil && (!sameReply(a, b)) {
			t.Errorf("in one piece: %+v, %v; in many: %+v, %v", a, errA, b, errB)
		}
	})
}
