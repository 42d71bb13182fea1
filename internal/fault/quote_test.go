package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/internal/resp"
)

func TestWhatIsQuotedIsCut(t *testing.T) {
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for said, want := range map[string]string{
		"OOM command not allowed": "OOM command not allowed",
		"ERR unknown command 'evalsha', with args beginning with: 'abc' '1' 'key' '" + token + "' ": "ERR unknown command 'evalsha' (its arguments are not shown)",
		"ERR unknown command `auth`, with args beginning with: `me`, `s3cr3t`, ":                    "ERR unknown command `auth` (its arguments are not shown)",
		"ERR unknown command 'auth', with args beginning with: 'a' 'b\nc' 'd":                       "ERR unknown command 'auth' (its arguments are not shown)",
		"ERR the proxy does not like \"set k owner~" + token + "\"":                                 "ERR the proxy does not like \"set k owner~ABCD…\"",
		"ERR cut off: " + token[:20]:      "ERR cut off: ABCD…",
		"ERR \x1b[31mred\r\nand more\x00": "ERR  [31mred  and more ",
		"MOVED 7649 10.0.0.1:6379":        "MOVED 7649 10.0.0.1:6379",
		"ERR script: 0123456789abcdef0123456789abcdef01234567, on @user_script:12.":                   "ERR script: 0123456789abcdef0123456789abcdef01234567, on @user_script:12.",
		"ERR " + strings.Repeat("é", 600):                                                             "ERR " + strings.Repeat("é", 254) + "…",
		"NOPERM User app has no permissions to access the 'a key of forty letters and some more' key": "NOPERM User app has no permissions to access the 'a key of forty letters and some more' key",
	} {
		got := Quoted(resp.ServerError(said))
		if got.Error() != want || !IsServerError(got) {
			t.Errorf("%q becomes %q, want %q", said, got, want)
		}
		if again := Quoted(got); again.Error() != want {
			t.Errorf("and again, %q", again)
		}
	}
	ours := errors.New("dial " + token)
	if got := Quoted(ours); got != ours { // the very same
		t.Errorf("what no server has said becomes %v", got)
	}
	if got := Quoted(fmt.Errorf("cannot load: %w", resp.ServerError("ERR unknown command 'x', with args beginning with: 'y'"))); got.Error() != "cannot load: ERR unknown command 'x' (its arguments are not shown)" || !IsServerError(got) {
		t.Errorf("got %q, want what was wrapped, without the arguments", got)
	}
}
