package scripts

import (
	"testing"

	"github.com/holdfast-go/holdfast/internal/resp"
)

func TestCommandsAreEncodedAsRedisReadsThem(t *testing.T) {
	got := string(resp.AppendNumber(resp.AppendArg(Script{SHA: "abc"}.AppendCall(nil, 1, 2), "k\r\n\x00"), -42))
	want := "*6\r\n$7\r\nevalsha\r\n$3\r\nabc\r\n$1\r\n1\r\n$4\r\nk\r\n\x00\r\n$3\r\n-42\r\n"
	if got != want {
		t.Errorf("%q\n%q", got, want)
	}
}
