package reach

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/internal/resp"
)

func TestSecretsAreHidden(t *testing.T) {
	long := "0123456789abcdef and more"
	for _, c := range []struct{ text, secret, want string }{
		{"you said s3cret", "s3cret", "you said ***"},
		{"ERR the e in 'e' and \"e\" and `e`", "e", "ERR the e in '***' and \"***\" and `***`"},
		{"said " + long + ", " + long[:18] + "… and " + long[:15], long, "said ***, ***… and " + long[:15]},
		{long + long, long, "******"},
		{"nothing", long, "nothing"},
	} {
		if got := hide(c.text, c.secret); got != c.want {
			t.Errorf("%q without %q: %q, want %q", c.text, c.secret, got, c.want)
		}
	}
	if text := NewSecrets("two\r\nlines").Redact(resp.ServerError("ERR you said two  lines")).Error(); strings.Contains(text, "lines") {
		t.Errorf("got %q, want the password's words hidden", text)
	}
}
