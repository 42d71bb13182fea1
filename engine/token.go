package engine

import (
	"crypto/rand"
	"slices"
	"strings"
)

// tokens makes an engine's tokens, and knows them again. A token is
//
//	[owner ~] 100 random bits, the engine's mark of 30
//
// Of an acquire that has a place in the queue the last 20 of the random bits are the
// place's. So its token ends with the name of the place, by which a look at the queue
// tells the holder's place from those of the waiting.
//
// The mark says whose it is to nobody but the engine itself, and is no part of what
// makes the token hard to guess: anybody that has seen one token knows the mark.
type tokens struct{ owner, mark string }

const (
	randomChars = 20 // of 5 bits each
	markChars   = 6
	// placeChars are as many as internal/scripts/look_at_queue.lua takes.
	placeChars = 4 + markChars
	alphabet   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

func newTokens(owner string) tokens { return tokens{owner, rand.Text()[:markChars]} }

// fresh returns a new token, in one allocation.
func (t tokens) fresh() string { return t.endingWith(t.mark) }

// of returns a new token for an acquire that has this place, or none.
func (t tokens) of(p *place) string {
	if p == nil {
		return t.fresh()
	}
	return t.endingWith(p.Name)
}

// placeName returns the name of a new place.
func (t tokens) placeName() string { return rand.Text()[:placeChars-markChars] + t.mark }

func (t tokens) endingWith(end string) string {
	var random [randomChars]byte
	_, _ = rand.Read(random[:]) // it never fails
	return t.spell(random[:], end)
}

// spell makes a token of randomChars random bytes at least, in one allocation.
func (t tokens) spell(random []byte, end string) string {
	return string(t.append(make([]byte, 0, maxOwner+1+randomChars+markChars), random, end))
}

// append appends a token to text.
func (t tokens) append(text, random []byte, end string) []byte {
	if t.owner != "" {
		text = append(append(text, t.owner...), '~')
	}
	for _, b := range random[:randomChars+markChars-len(end)] {
		text = append(text, alphabet[b%byte(len(alphabet))])
	}
	return append(text, end...)
}

// batch makes fresh tokens for a batch, all in one allocation: it stays as long as one of them is in use.
type batch struct {
	random, text []byte // room
	all          string
	length       int // of each
}

// make makes so many.
func (b *batch) make(t tokens, n int) {
	b.random = slices.Grow(b.random[:0], n*randomChars)[:n*randomChars]
	_, _ = rand.Read(b.random) // it never fails
	b.text = b.text[:0]
	for k := range n {
		b.text = t.append(b.text, b.random[k*randomChars:], t.mark)
	}
	b.all, b.length = string(b.text), len(b.text)/n
}

// token returns one of them.
func (b *batch) token(k int) string { return b.all[k*b.length : (k+1)*b.length] }

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
