package scripts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// Each server's own words for a command that its user may not run in a script.
func TestACommandThatIsNotPermittedIsNamed(t *testing.T) {
	line := 1 + slices.IndexFunc(strings.Split(AcquireFenced.Source, "\n"), func(line string) bool { return strings.Contains(line, "redis.call('SET'") })
	where := fmt.Sprintf("script: %s, on @user_script:%d.", AcquireFenced.SHA, line)
	for says, want := range map[string]string{
		"ERR The user executing the script can't run this command or subcommand " + where:                                    "'set'",         // Redis 7.0
		"ERR ACL failure in script: User me has no permissions to run the 'set' command " + where:                            "'set'",         // Redis 7.2 and 8
		"ERR ACL failure in script: User me has no permissions to run the 'client|kill' command script: on @user_script:40.": "'client|kill'", // Valkey 9.1
		"ERR ACL failure in script: No permissions to access a key script: on @user_script:40.":                              "a command",
	} {
		if got := Explained(resp.ServerError(says)).Error(); got != "NOPERM "+want+" in a script: "+says {
			t.Errorf("%s\nis explained as\n%s", says, got)
		}
	}
	other := resp.ServerError("ERR something else")
	if got := Explained(other); got != other { //nolint:errorlint // the very same
		t.Errorf("%v becomes %v", other, got)
	}
}
