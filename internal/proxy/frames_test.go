package proxy

import (
	"bytes"
	"testing"
)

// However a stream is broken into pieces, what comes out are its values.
func TestFramerCutsWholeValues(t *testing.T) {
	want := []string{
		"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n", "+OK\r\n", "-ERR no\r\n", ":-1\r\n", "$-1\r\n", "$0\r\n\r\n", "*-1\r\n", "*0\r\n",
		"*2\r\n*2\r\n:1\r\n$1\r\nx\r\n_\r\n", "%1\r\n+key\r\n*1\r\n:1\r\n", ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", "#t\r\n", ",1.5\r\n",
	}
	var stream []byte
	for _, v := range want {
		stream = append(stream, v...)
	}
	for piece := 1; piece <= len(stream); piece++ {
		var f framer
		var got []string
		for rest := stream; len(rest) > 0; {
			n := min(piece, len(rest))
			for _, v := range f.add(rest[:n]) {
				got = append(got, string(v))
			}
			rest = rest[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("pieces of %d: %d values, want %d", piece, len(got), len(want))
		}
		for k := range want {
			if got[k] != want[k] {
				t.Fatalf("pieces of %d: value %d is %q, want %q", piece, k, got[k], want[k])
			}
		}
	}
}

// What is no RESP comes out as it went in, all of it.
func TestFramerPassesWhatIsNotRESP(t *testing.T) {
	for _, stream := range []string{"PING\r\nINFO server\r\n", "\x16\x03\x01\x00\x05hello", "*x\r\n", "+OK\r\n\x00\n", "$5\r\nab\n"} {
		for piece := 1; piece <= len(stream); piece++ {
			var f framer
			var got []byte
			for rest := []byte(stream); len(rest) > 0; {
				n := min(piece, len(rest))
				got = append(got, bytes.Join(f.add(rest[:n]), nil)...)
				rest = rest[n:]
			}
			if want := stream[:len(stream)-len(f.rest)]; string(got) != want {
				t.Errorf("%q in pieces of %d: %q", stream, piece, got)
			}
			if !f.raw && stream[0] != '$' {
				t.Errorf("%q in pieces of %d is taken for RESP", stream, piece)
			}
		}
	}
}
