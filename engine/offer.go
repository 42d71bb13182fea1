package engine

// offer is what a waiter is ready to take from a holder of this engine that
// releases. These are its states, and what moves it on:
//
//	         accept   successor   decline    received
//	closed   open                 closed
//	open     open     promised    closed
//	promised promised             closed *   closed
//
//	* when what was promised has been received
//
// The waiter calls accept, decline and received; a holder calls successor, and
// sends once what it has promised.
type offer uint8

const (
	closed   offer = iota // nothing
	open                  // a handoff
	promised              // the handoff that somebody is about to send
)

// handoff is what a holder leaves to its successor when it releases: the lock as it
// is, or a question that is already on its way, behind the release. Neither, if it
// came to nothing.
type handoff struct {
	holding  *holding
	question question
	place    *place // in the queue, which a question is asked in; nil: none
}

// accept says that w would take a handoff when it is the head, until decline or
// received.
func (l *lines) accept(w *waiter, r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.offer == closed {
		w.offer, w.takes = open, r
	}
}

// received says that w has received its handoff. So it is the head, whether or
// not it has been told so.
func (l *lines) received(w *waiter) {
	l.mu.Lock()
	w.offer = closed
	l.mu.Unlock()
	w.head = nil
}

// decline ends what accept began. A handoff that has been promised is taken.
func (l *lines) decline(w *waiter) handoff {
	l.mu.Lock()
	was := w.offer
	w.offer, w.takes = closed, nil
	l.mu.Unlock()
	if was != promised {
		return handoff{}
	}
	w.head = nil          // as in received
	return <-w.own.handed // sent, or about to be
}

// successor returns what the head of the resource's line asks for, if it would take
// a handoff and suits, and promises that one will be sent. It returns nil when
// there is none.
func (l *lines) successor(resource string, suits func(*request) bool) (takes *request, handed chan<- handoff) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.heads[resource]
	if w == nil || w.offer != open || !suits(w.takes) {
		return nil, nil
	}
	takes = w.takes
	w.offer, w.takes = promised, nil
	return takes, w.own.handed
}
