package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/lease"
)

// Campaign waits until nobody else leads, and returns the leader that this engine has then: a lease that Acquire would have
// returned, always with a fencing token, the term, and with a value that observers are told (Observe): 0 to MaxValue bytes, any
// bytes. It waits, ends and fails as Acquire does. The value is put beside the lock when that is won, which takes another
// round trip; a majority of the instances has it when Campaign returns. When that fails, the lock is given back, and
// the error says so.
//
// There is one leader at a time, as there is one lease at a time: Valid, Done and the term are what a leader goes by. An
// election is the resource of that name: an Acquire of it excludes all leaders, and observers are not told of it. All
// candidates must use Campaign, or WithFencing, so that terms rise.
//
// The options are those of Acquire. WithToken, Permits and Shared are refused. A leadership is not handed on (Config.LocalHandoff). The
// value is in a key beside the lock, "value:{election}", so nobody should lock a resource of such a name. In a
// cluster an election whose name has a closing brace that closes nothing is refused, with ErrRefused.
//
// election is 1 to 1024 bytes, any bytes. Safe for concurrent use.
func (e *Engine) Campaign(ctx context.Context, election, value string, opts ...Option) (*Leader, error) {
	r, err := e.requestCampaign(election, value, opts)
	if err != nil {
		return nil, err
	}
	defer e.requests.Put(r)
	l, err := e.acquire(ctx, r)
	if err != nil {
		return nil, err
	}
	leader := &Leader{Lease: l, holding: lease.BackendOf(l).(*holding)}
	waiting, over := r.bound(ctx)
	defer over()
	if err := leader.holding.proclaim(waiting, "campaign", value); err != nil {
		leader.holding.discard()
		return nil, err
	}
	return leader, nil
}

// requestCampaign is request for a Campaign.
func (e *Engine) requestCampaign(election, value string, opts []Option) (*request, error) {
	const op = "campaign"
	r, err := e.request(op, election, opts)
	if err != nil {
		return nil, err
	}
	err = r.refuseKinds("Campaign")
	switch {
	case err != nil:
	case r.token != "":
		err = errors.New("WithToken: each leadership gets a fresh token, or what an earlier one has said would be its own")
	default:
		err = checkValue(value)
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %w", op, err)
	}
	r.fencing = true
	r.reserve = 0 // it is not handed on
	r.leads = e.newLeading(r.key)
	return r, nil
}
