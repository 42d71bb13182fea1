package instance

import (
	"context"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// role is what an instance is: a server on its own (standalone), a node of a cluster (asNode), or
// a whole cluster (*cluster), whose messages go to the actors of its nodes. Beside it there are two
// fields in which they differ, since each message passes them: Instance.route and mailbox.slotsMove.
type role interface {
	// What an engine asks of the instance.

	run(ctx context.Context)
	close()
	health() Health
	trackerOf(key string) *tracking.Tracker           // nil: nobody tells of that key
	servers(ctx context.Context) ([]*Instance, error) // that can be asked
	askable() error                                   // why it cannot be asked itself

	// What its actor asks.

	voter() *Instance                                // whose vote it casts
	refer(m Command, s *sending, r *resp.Reply) bool // whether an error reply has sent the message on
	referDebt(d debt, r *resp.Reply) bool            // and a debt
	answeredHere(m Command)                          // the message has been answered here, or is owed
	elsewhere(text []byte) bool                      // whether an error reply says that another node has the slot
	misnamed(text []byte) bool                       // whether it says that this is no server on its own
	whyReplica() error                               // what it means that the server is a replica
	memoryLost()                                     // the restart guard keeps its votes back
}

// standalone is a server on its own.
type standalone struct{ instance *Instance }

func (l standalone) run(ctx context.Context) { l.instance.actor.act(ctx) }
func (l standalone) close()                  { l.instance.mailbox.close() }
func (l standalone) health() Health          { return l.instance.ownHealth() }
func (l standalone) askable() error          { return nil }

func (l standalone) trackerOf(string) *tracking.Tracker { return l.instance.tracker }

func (l standalone) servers(context.Context) ([]*Instance, error) {
	return []*Instance{l.instance}, nil
}

func (l standalone) voter() *Instance                          { return l.instance }
func (l standalone) refer(Command, *sending, *resp.Reply) bool { return false }
func (l standalone) referDebt(debt, *resp.Reply) bool          { return false }
func (l standalone) answeredHere(Command)                      {}
func (l standalone) elsewhere([]byte) bool                     { return false }
func (l standalone) misnamed(text []byte) bool                 { return isReferral(text) }
func (l standalone) memoryLost()                               {}

func (l standalone) whyReplica() error {
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
