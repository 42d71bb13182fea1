package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
	"github.com/holdfast-go/holdfast/lease"
)

// MaxValue is how many bytes a leader's value may have.
const MaxValue = 1024

// Leader is who has won an election, until its lease ends: Done is closed then, and Err says why. It is the lease of the
// election's name, and Release resigns. Campaign makes it. All methods are safe for concurrent use.
//
// Detach hands on the lock, and no leadership: who adopts it leads nothing.
type Leader struct {
	*lease.Lease
	holding *holding
}

// Term returns the number of the leadership: later leaders of the election have higher ones. It is the lease's fencing token,
// by which what the leader writes to can refuse the writes of an earlier one.
func (l *Leader) Term() uint64 { return l.Fence() }

// Proclaim says what observers are to be told of the leader: up to MaxValue bytes, any bytes. It stays until the next
// Proclaim, and ends with the leadership.
//
// It waits until a majority of the instances has it, as long as their timeout at most: who looks from then on sees it, or a
// later one. When it fails, some observers may be told of it and some of the value before, until the next renewal puts it
// everywhere. When a quorum says that the lock is not ours any more, the leadership ends, with lease.ErrGone or lease.ErrStolen,
// which the error is then. The error is why it has ended, when it has ended before. Else it is ErrNoQuorum, or ctx's own, joined
// with that.
func (l *Leader) Proclaim(ctx context.Context, value string) error {
	if err := checkValue(value); err != nil {
		return fmt.Errorf("engine: proclaim: %w", err)
	}
	if err := l.Err(); err != nil {
		return fmt.Errorf("proclaim %q: %w", l.Resource(), err)
	}
	return l.holding.proclaim(ctx, "proclaim", value)
}

func checkValue(value string) error {
	if n := len(value); n > MaxValue {
		return fmt.Errorf("the value has %d bytes: at most %d. Proclaim where more is to be found", n, MaxValue)
	}
	return nil
}

// leading is what a lease has besides that a Campaign has won: what it says, and where.
type leading struct {
	key string // beside the lock

	// mu is held over posting, so that each instance hears what is said in its order.
	mu     sync.Mutex
	number uint64 // of what was said last; 0: nothing yet
	rest   string // what was said last, as instances have it: the term and the value
}

func (e *Engine) newLeading(key string) *leading {
	return &leading{key: e.valueKey(key)}
}

func (e *Engine) valueKey(key string) string { return slots.Beside(e.cfg.KeyPrefix, slots.Value, key) }

// leads is what the lease says as a leader; nil: it is a lock.
func (h *holding) leads() *leading {
	if h.lock == nil {
		return nil
	}
	return h.lock.leads
}

// proclaim has the instances hear what the leader says, and waits for a quorum of them.
func (h *holding) proclaim(ctx context.Context, op, value string) error {
	e, said := h.engine, h.leads()
	p := e.newPoll(granted)
	defer p.release()
	said.mu.Lock()
	said.number++
	said.rest = strconv.FormatUint(h.lease().Fence(), 10) + " " + value
	for seat, i := range e.instances {
		i.Post(said.message(h, &p.seats[seat]))
	}
	said.mu.Unlock()
	decided, stop := p.await(ctx)
	if decided && stop == nil && p.won() {
		return nil
	}
	q := e.unproven(op, h.lease().Resource(), p.result(), stop)
	return h.unextended(q)
}

// message is what is said last, for one instance. Called with mu held.
func (s *leading) message(h *holding, to instance.Caster) *instance.Proclaim {
	return &instance.Proclaim{
		Key: h.key, Value: s.key, Token: h.token(), Number: s.number, Rest: s.rest, TTL: h.engine.cfg.MaxTTL, To: to,
	}
}

// sayAgain has instances hear it once more: behind what gives the lock a longer life, or puts it back.
func (s *leading) sayAgain(h *holding, instances ...*instance.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == 0 {
		return
	}
	for _, i := range instances {
		i.Post(s.message(h, nobodyWaits{}))
	}
}

// retract has an instance forget it, behind the release of the lock.
func (s *leading) retract(h *holding, i *instance.Instance) {
	i.Post(&instance.Retract{Key: h.key, Value: s.key, Token: h.token()})
}

// saying is what an instance has beside a lock.
type saying struct {
	term, number uint64 // 0: nothing, or what is not of the lock's holder
	value        string
}

// parseSaying reads it, if it is of the token that has the lock.
func parseSaying(said, token string) (s saying) {
	said, its := strings.CutPrefix(said, token+" ")
	number, said, more := strings.Cut(said, " ")
	term, value, whole := strings.Cut(said, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	t, wrong := strconv.ParseUint(term, 10, 64)
	if !its || !more || !whole || err != nil || wrong != nil || t == 0 || n == 0 {
		return saying{}
	}
	return saying{term: t, number: n, value: value}
}

// later reports whether it was said after another.
func (s saying) later(than saying) bool {
	return s.term > than.term || s.term == than.term && s.number > than.number
}

// latestOf is the latest that the holder of this token says, by what instances have beside the lock.
func latestOf(votes []instance.Vote, said []string, token string) (latest saying) {
	for k, v := range votes {
		if v.Kind != instance.Held || v.Holder != token {
			continue
		}
		if one := parseSaying(said[k], token); one.later(latest) {
			latest = one
		}
	}
	return latest
}
