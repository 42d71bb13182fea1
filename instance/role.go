package instance

import (
	"context"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// role is what an instance is: a server on its own (lone), a node of a cluster (*node), or
// a whole cluster (*cluster), which has no actor but those of its nodes. It is all in which
// they differ.
type role interface {
	// What an engine asks of the instance.

	inbox() *mailbox // of all messages; nil: each has a way of its own, route
	route(m Command)
	run(ctx context.Context)
	close()
	health() Health
	watch(w *tracking.Watch)
	servers(ctx context.Context) ([]*Instance, error) // that can be asked
	askable() error                                   // why it cannot be asked itself

	// What its actor asks.

	voter() *Instance                                // whose vote it casts
	slotsMove() bool                                 // locks come from other servers and go to them, slot by slot
	refer(m Command, s *sending, r *resp.Reply) bool // whether an error reply has sent the message on
	referDebt(d debt, r *resp.Reply) bool            // and a debt
	answeredHere(m Command)                          // the message has been answered here, or is owed
	elsewhere(text []byte) bool                      // whether an error reply says that another node has the slot
	misnamed(text []byte) bool                       // whether it says that this is no server on its own
	whyReplica() error                               // what it means that the server is a replica
	memoryLost()                                     // the restart guard keeps its votes back
}

// lone is a server on its own.
type lone struct{ instance *Instance }

func (l lone) inbox() *mailbox         { return l.instance.mailbox }
func (l lone) route(m Command)         { l.instance.mailbox.put(l.instance.name, m) }
func (l lone) run(ctx context.Context) { l.instance.actor.act(ctx) }
func (l lone) close()                  { l.instance.mailbox.close() }
func (l lone) health() Health          { return l.instance.ownHealth() }
func (l lone) watch(w *tracking.Watch) { l.instance.tracker.Keep(w) }
func (l lone) askable() error          { return nil }

func (l lone) servers(context.Context) ([]*Instance, error) { return []*Instance{l.instance}, nil }

func (l lone) voter() *Instance                          { return l.instance }
func (l lone) slotsMove() bool                           { return false }
func (l lone) refer(Command, *sending, *resp.Reply) bool { return false }
func (l lone) referDebt(debt, *resp.Reply) bool          { return false }
func (l lone) answeredHere(Command)                      {}
func (l lone) elsewhere([]byte) bool                     { return false }
func (l lone) misnamed(text []byte) bool                 { return isReferral(text) }
func (l lone) memoryLost()                               {}

func (l lone) whyReplica() error {
	if l.instance.managed {
		return reach.ErrFailover
	}
	return reach.ErrReplica
}

func isReferral(text []byte) bool {
	_, ok := slots.ReadReferral(text)
	return ok
}

var errClusterNode = fault.NewLasting("it is a node of a cluster: write redis-cluster://…")
