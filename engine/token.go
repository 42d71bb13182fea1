package engine

import (
	"crypto/rand"
	"strings"
)

// tokens makes an engine's tokens, and knows them again. A token is
//
//	[owner ~] 100 random bits, the engine's mark of 30
//
// The mark says whose it is to nobody but the engine itself, and is no part of what
// makes the token hard to guess: anybody that has seen one token knows the mark.
type tokens struct{ owner, mark string }

const (
	randomChars = 20 // of 5 bits each
	markChars   = 6
	alphabet    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

func newTokens(owner string) tokens { return tokens{owner, rand.Text()[:markChars]} }

// fresh returns a new token, in one allocation.
func (t tokens) fresh() string {
	var random [randomChars]byte
	_, _ = rand.Read(random[:]) // it never fails
	token := make([]byte, 0, maxOwner+1+randomChars+markChars)
	if t.owner != "" {
		token = append(append(token, t.owner...), '~')
	}
	for _, b := range random {
		token = append(token, alphabet[b%byte(len(alphabet))])
	}
	return string(append(token, t.mark...))
}

// made reports whether a token is this engine's.
func (t tokens) made(token string) bool {
	return ownerOf(token) == t.owner && strings.HasSuffix(token, t.mark)
}

// ParseToken takes apart a token that an engine has made. ok is false when the value
// does not have the form of one: it is a token of the user's own (WithToken), another
// library's, or no lock at all. That it has the form proves nothing: anybody may have
// written it.
func ParseToken(value string) (owner string, ok bool) {
	owner = ownerOf(value)
	random := value
	if owner != "" {
		random = value[len(owner)+1:]
	}
	return owner, len(random) == randomChars+markChars && strings.Trim(random, alphabet) == ""
}

// ownerOf returns the owner that a token was made with, or "".
func ownerOf(token string) string {
	i := strings.LastIndexByte(token, '~')
	if i < 0 || !validOwner(token[:i]) {
		return ""
	}
	return token[:i]
}
