package scripts

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// Redis before 7.2 says that a script lacks a permission, but not which, only
// where: at a line of a script that it calls by its hash. We know the script. Later
// ones, and Valkey, say which, but not NOPERM.
var (
	unpermitted = regexp.MustCompile(`^ERR (The user executing the script can't |ACL failure in script: )`)
	scriptLine  = regexp.MustCompile(`script: ([0-9a-f]{40}), on @user_script:(\d+)`)
	scriptCall  = regexp.MustCompile(`redis\.p?call\('([A-Z]+)'`)
	namedCall   = regexp.MustCompile(`to run the ('[a-z|]+') command`) // Valkey 9.1 has no hash beside it
)

// Explained adds NOPERM and the command to such an error, and returns every
// other as it is.
func Explained(err error) error {
	text := err.Error()
	if !unpermitted.MatchString(text) {
		return err
	}
	if m := namedCall.FindStringSubmatch(text); m != nil {
		return Unpermitted(text, m[1])
	}
	if m := scriptLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[2])
		return Unpermitted(text, commandAt(m[1], line))
	}
	return Unpermitted(text, "a command")
}

// Unpermitted is Explained for a command that is known.
func Unpermitted(text, command string) error {
	if !unpermitted.MatchString(text) {
		return resp.ServerError(text)
	}
	return resp.ServerError(fmt.Sprintf("NOPERM %s in a script: %s", command, text))
}

// commandAt is the command that a line of one of our scripts calls.
func commandAt(sha string, line int) string {
	for _, s := range All {
		if s.SHA != sha {
			continue
		}
		lines := strings.Split(s.Source, "\n")
		if line < 1 || line > len(lines) {
			break
		}
		var called []string
		for _, m := range scriptCall.FindAllStringSubmatch(lines[line-1], -1) {
			called = append(called, "'"+strings.ToLower(m[1])+"'")
		}
		if len(called) > 0 {
			return strings.Join(called, " or ")
		}
	}
	return "a command"
}
