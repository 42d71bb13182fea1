package engine

import (
	"crypto/rand"
	"strings"
)

// newToken returns a fresh token: 130 random bits, behind the owner if there is
// one.
func newToken(owner string) string {
	if owner == "" {
		return rand.Text()
	}
	return owner + "~" + rand.Text()
}

// ownerOf returns the owner that a token was made with, or "".
func ownerOf(token string) string {
	i := strings.LastIndexByte(token, '~')
	if i < 0 || !validOwner(token[:i]) {
		return ""
	}
	return token[:i]
}
