package fault

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// longestQuote is how much is shown of what a server says.
const longestQuote = 512

var (
	// Redis, and what stands in front of it, quotes what came with a command that it does not know.
	quotedArgs = regexp.MustCompile("(?s),? with args beginning with:.*")
	// A token of ours, or the beginning of one.
	quotedToken = regexp.MustCompile(`\b[A-Z2-7]{20,}\b`)
)

// Quoted is what a server said as it may be shown: on one line, without the arguments
// that it quotes and without whole tokens. Another error, or one with nothing to hide, is
// returned as it is.
func Quoted(err error) error {
	if !IsServerError(err) {
		return err
	}
	text := err.Error()
	clean := quotedArgs.ReplaceAllLiteralString(text, " (its arguments are not shown)")
	clean = quotedToken.ReplaceAllStringFunc(clean, func(token string) string { return token[:4] + "…" })
	clean = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, clean)
	if len(clean) > longestQuote {
		clean = strings.ToValidUTF8(clean[:longestQuote], "") + "…"
	}
	if clean == text {
		return err
	}
	return resp.ServerError(clean)
}

// Reword gives an error another text. The original is dropped: a %+v or a type switch must
// not bring it back. What is kept is whether the server itself said it.
func Reword(err error, text string) error {
	switch {
	case err.Error() == text:
		return err
	case IsServerError(err):
		return reworded{resp.ServerError(text), RefusalOf(err)}
	}
	return errors.New(text)
}

// reworded is a server's error whose text has been changed. What kind of refusal it
// is has been found before that: the text may begin otherwise now.
type reworded struct {
	resp.ServerError
	kind *Refusal
}
