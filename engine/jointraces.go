package engine

import "context"

// JoinTraces returns a Trace that calls those of all of them, in that order. nil
// is none. They must not be changed afterwards.
func JoinTraces(traces ...*Trace) *Trace {
	joined := new(Trace)
	for _, t := range traces {
		if t != nil {
			joined.add(*t)
		}
	}
	return joined
}

// add makes t call those of b after its own.
func (t *Trace) add(b Trace) {
	t.Round = both(t.Round, b.Round)
	t.Vote = both(t.Vote, b.Vote)
	t.Acquired = bothWithContext(t.Acquired, b.Acquired)
	t.Each = bothWithContext(t.Each, b.Each)
	t.Woken = both(t.Woken, b.Woken)
	t.Renewed = both(t.Renewed, b.Renewed)
	t.Checked = both(t.Checked, b.Checked)
	t.Ended = both(t.Ended, b.Ended)
	t.Instance = both(t.Instance, b.Instance)
	t.Pipeline = both(t.Pipeline, b.Pipeline)
}

// both returns a func that calls a, then b, or the one that is there.
func both[Info any](a, b func(Info)) func(Info) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(info Info) { a(info); b(info) }
}

func bothWithContext[Info any](a, b func(context.Context, Info)) func(context.Context, Info) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, info Info) { a(ctx, info); b(ctx, info) }
}
