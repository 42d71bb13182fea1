package instance

import "github.com/holdfast-go/holdfast/internal/reach"

// link is the connection that an instance's messages travel on. It belongs to the actor; what
// is written on it is written by the sender of the flow, and once it is open for messages, its
// reader reads.
type link struct {
	*reach.Link

	// The reader's own, until done is closed by it.
	forgotten bool  // the server has forgotten our scripts
	used      bool  // something has been answered
	err       error // why the reader ended
	done      chan struct{}
}
