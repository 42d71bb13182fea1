package trial

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// tryEach asks for one resource together with all others that are fenced as it is, and gives those back that it got besides, all at once.
func (w *worker) tryEach(as terms) acquireFunc {
	t := w.trial
	return func(ctx context.Context, wanted string, opts ...engine.Option) (*lease.Lease, error) {
		var names []string
		var before []terms
		for which, fenced := range t.plan.fenced {
			if fenced == t.plan.fenced[indexOf(wanted)] {
				one := as
				one.before, one.asked = t.ledger.before([]string{resource(which)}), time.Now()
				names, before = append(names, resource(which)), append(before, one)
			}
		}
		t.counts.count(&t.counts.batches)
		results, err := w.engine.TryAcquireEach(ctx, names, opts...)
		if err != nil {
			return nil, err
		}
		var mine *lease.Lease
		var others []*holding
		for k, one := range results {
			switch {
			case one.Resource == wanted:
				mine, err = one.Lease, one.Err
			case one.Lease != nil:
				others = append(others, t.ledger.granted(one.Lease, w.host, before[k]))
			}
		}
		w.releaseEach(others)
		return mine, err
	}
}

// releaseEach gives leases back in one call, under the same checks as release.
func (w *worker) releaseEach(all []*holding) {
	t := w.trial
	var leases []*lease.Lease
	for _, r := range all {
		t.ledger.look(r)
		t.ledger.releasing(r.record)
		leases = append(leases, r.lease)
	}
	errs := w.engine.ReleaseEach(context.Background(), leases)
	for k, r := range all {
		var err error
		if errs != nil {
			err = errs[k]
		}
		w.released(r, err)
	}
}

// released checks what a release has returned.
func (w *worker) released(r *holding, err error) {
	if err != nil && !errors.Is(err, lease.ErrLost) && !errors.Is(err, engine.ErrNoQuorum) {
		w.trial.complain("errors: a release must not fail so: %v", err)
	}
	if err == nil && r.over {
		w.trial.complain("errors: a release says nothing of the loss: %s", w.trial.ledger.describe(r.record))
	}
	w.trial.ledger.look(r)
	if !r.over {
		w.trial.complain("errors: a lease that was released says that it is valid: %s", w.trial.ledger.describe(r.record))
	}
}

// indexOf is the number of a resource.
func indexOf(name string) int { return int(name[1] - '0') }
