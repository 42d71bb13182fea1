package instance

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind says what a vote says.
type Kind uint8

const (
	Unanswered   Kind = iota // no answer yet
	Granted                  // done as asked
	Held                     // somebody else has the lock
	Free                     // nobody has the lock (inspect)
	Gone                     // the lock is not there any more
	Stolen                   // the lock was ours and is somebody else's now
	Stale                    // fencing: a proposal at least as high was seen before
	Ahead                    // fencing: the proposal is too far ahead of the server's clock
	Unreachable              // no connection
	TimedOut                 // no answer within the instance's timeout; it may yet act on the question
	Busy                     // the mailbox is full; nothing was sent
	InQuarantine             // restarted a short while ago: the restart guard does not let it vote on new acquires yet
	Refused                  // the server refuses: out of memory, read-only, no permission, …
	Stepped                  // the lock is ours, but the server's clock was stepped since it was told for how long (renewal)
)

var kindNames = [...]string{
	"no answer yet", "granted", "held", "free", "gone", "stolen", "stale", "ahead",
	"unreachable", "timed out", "busy", "quarantined", "refused", "clock stepped",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Vote is one instance's answer to one question.
type Vote struct {
	Instance string        // the instance's name
	Kind     Kind          // what it says
	Again    bool          // the question was sent twice: the first may yet be heard, where the old connection could not be killed
	Holder   string        // the token found in the lock: Held, Stolen; with ErrForeign the beginning of what is there; or SharedMark, WritersMark
	Readers  int           // of an inspection: how many share it there, where Holder is SharedMark; 0 if that is not known
	Left     time.Duration // time left of what is in the way: Held, InQuarantine; negative: unknown. It may be the longest that there is
	Fence    uint64        // the highest fence seen there: Held, Stale; the server's clock in µs: Ahead
	Err      error         // the reason, in the server's or the network's words; nil for most kinds
}

// Answered reports whether the instance itself has spoken about the lock, and
// so has certainly not acted on the question in any other way.
func (v Vote) Answered() bool {
	switch v.Kind {
	case Unanswered, Unreachable, TimedOut:
		return false
	}
	return true
}

// String is one line without secrets: tokens are abbreviated.
func (v Vote) String() string {
	var b strings.Builder
	b.WriteString(v.Instance)
	b.WriteString(": ")
	b.WriteString(v.Kind.String())
	switch v.Holder {
	case "":
	case SharedMark:
		b.WriteString(" by those who share it")
	case WritersMark:
		b.WriteString(" for those who wait to have it alone")
	default:
		b.WriteString(" by ")
		b.WriteString(Abbreviate(v.Holder))
	}
	if v.Left > 0 {
		fmt.Fprintf(&b, " for another %v", v.Left.Round(time.Millisecond))
	}
	if v.Err != nil {
		fmt.Fprintf(&b, " (%v)", v.Err)
	}
	return b.String()
}

// GoString keeps whole tokens out of %#v.
func (v Vote) GoString() string { return v.String() }

// Caster takes votes. Cast is called once for each message that asks for a vote, on a
// goroutine of the instance's, or on the poster's before Post returns. It must not block. It may
// call Post.
//
// It is for the engine.
type Caster interface {
	Cast(Vote)
}

// longestOwner is an owner's and its '~'.
const longestOwner = 129

// Abbreviate shortens a token to what identifies it to a person without giving
// it away: with a whole token anybody can release its lock. It is quoted, as %q does.
func Abbreviate(token string) string { return strconv.Quote(abbreviate(token)) }

// abbreviate is Abbreviate without the quotes.
func abbreviate(token string) string {
	if token == SharedMark || token == WritersMark {
		return token
	}
	owner, random := "", token
	if i := strings.LastIndexByte(token, '~'); i >= 0 {
		owner, random = token[:i+1], token[i+1:]
	}
	if len(owner) > longestOwner { // of no engine's
		owner = ""
	}
	if len(random) < 12 {
		return owner + "…"
	}
	return owner + random[:4] + "…"
}

// maxToken is the length of the longest token. The scripts know it, too: they look at
// no more of a value than that, and one byte. A key may hold whatever somebody else
// put there, hundreds of megabytes perhaps, which a server would be busy with for
// seconds, and so would we: so nothing that is asked has it sent, or even copied, whole.
const maxToken = 1024

// ErrForeign is the reason of a vote Held by what no engine has put there: a value
// that is longer than any token. The vote's Holder is only the beginning of it.
var ErrForeign = errors.New("the key has a value of more than 1024 bytes, which is no lock: something else uses this name, and a KeyPrefix keeps them apart")

// foreignShown is how much of it a vote has.
const foreignShown = 64
