package instance

import (
	"sync/atomic"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// node is a master of a cluster: an instance with an actor of its own, whose votes are the
// cluster's.
type node struct {
	*Instance
	home    *cluster
	gone    chan struct{} // closed when its actor has ended
	leaving atomic.Int32  // how many of its slots are about to be another's
}

func newNode(i *Instance, home *cluster) *node {
	n := &node{Instance: i, home: home, gone: make(chan struct{})}
	i.role = asNode{standalone{i}, n}
	i.mailbox.slotsMove = true
	return n
}

// asNode is the role of a node.
type asNode struct {
	standalone
	node *node
}

func (r asNode) voter() *Instance           { return r.node.home.whole }
func (r asNode) elsewhere(text []byte) bool { return isReferral(text) }
func (r asNode) misnamed([]byte) bool       { return false }
func (r asNode) whyReplica() error          { return errDemoted }
func (r asNode) memoryLost()                { r.node.home.lookSoon() } // which slots it has forgotten is what the map knows now

// refer sends on a message whose reply says that it belongs elsewhere, and reports
// whether it did. It is called on the reader's goroutine, for each message in the
// order of the replies.
func (r asNode) refer(m Command, s *sending, reply *resp.Reply) bool {
	ref, ok := slots.ReadReferral(reply.Text)
	if !ok {
		return false
	}
	b, many := m.(*bundle)
	if !many {
		return r.node.home.sendElsewhere(r.node, m, s.again, ref)
	}
	for _, release := range b.releases {
		if !r.node.home.sendElsewhere(r.node, release, s.again, ref) {
			r.instance.actor.refused(release, s.refusal(reply.Err()))
		}
	}
	return true
}

// referDebt is refer for a release that is owed.
func (r asNode) referDebt(d debt, reply *resp.Reply) bool {
	ref, ok := slots.ReadReferral(reply.Text)
	return ok && (ref.Kind == slots.Moved || ref.Kind == slots.Ask) && r.node.home.sendElsewhere(r.node, d.release(), true, ref)
}

// answeredHere is told of every message that the node does not send on, but answers, or owes
// from now on. It must be called before the answer is cast: afterwards the poster may use the message
// again. Only while slots are leaving the node does it cost anything.
func (r asNode) answeredHere(m Command) {
	if _, ends := m.(*barrier); ends || r.node.leaving.Load() == 0 {
		return
	}
	for _, acquire := range r.node.home.withdrawBehind(r.node, m) {
		r.instance.actor.refused(acquire, Vote{Instance: r.instance.name, Kind: Refused, Err: errShuttled})
	}
}
