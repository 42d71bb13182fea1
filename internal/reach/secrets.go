package reach

import (
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-go/holdfast/internal/fault"
)

// Secrets are what must never be shown of one instance: its passwords, as they
// are and as URLs spell them. They sit behind a func value so that no format
// prints them by reflection.
type Secrets struct {
	busy   chan struct{} // one slot: one call to a user's Credentials at a time
	reveal func() []string
	add    func(password string)
}

// maxSecrets bounds how many passwords of a provider are remembered: a password
// that was replaced long ago is in no error any more.
const maxSecrets = 64

func NewSecrets(passwords ...string) *Secrets {
	var mu sync.Mutex
	var known []string
	s := &Secrets{busy: make(chan struct{}, 1)}
	s.reveal = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(known)
	}
	s.add = func(password string) {
		if password == "" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		oneLine := strings.NewReplacer("\r", " ", "\n", " ").Replace(password) // as an error has it
		for _, spelling := range []string{password, oneLine, url.QueryEscape(password), url.PathEscape(password)} {
			if !slices.Contains(known, spelling) {
				known = append(known, spelling)
			}
		}
		if len(known) > maxSecrets {
			known = slices.Delete(known, 0, len(known)-maxSecrets)
		}
	}
	for _, p := range passwords {
		s.add(p)
	}
	return s
}

// hide takes a secret out of a text. Of a long one its beginning is enough, since
// servers cut what they quote. A short one is hidden where it is quoted: elsewhere it
// is likely to be a part of a word, and hiding it would tell what it is.
func hide(text, secret string) string {
	const short, long = 4, 16
	switch {
	case len(secret) < short:
		for _, mark := range []string{"'", `"`, "`"} {
			text = strings.ReplaceAll(text, mark+secret+mark, mark+"***"+mark)
		}
		return text
	case len(secret) < long:
		return strings.ReplaceAll(text, secret, "***")
	}
	var b strings.Builder
	for {
		before, from, found := strings.Cut(text, secret[:long])
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("***")
		rest := secret[long:]
		for from != "" && rest != "" && from[0] == rest[0] {
			from, rest = from[1:], rest[1:]
		}
		text = from
	}
}

// Redact takes the secrets out of an error's text, and what a server quotes. Without
// secrets (nil) it does the latter.
func (s *Secrets) Redact(err error) error {
	clean := fault.Quoted(err).Error()
	if s != nil {
		for _, secret := range s.reveal() {
			clean = hide(clean, secret)
		}
	}
	return fault.Reword(err, clean)
}
