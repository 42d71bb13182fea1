package instance

import "errors"

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
