package instance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// However slots move about, nodes come and go, maps are out of date and replies
// late: no acquire is executed behind its release, so that at the end no lock is
// left. Each seed is one history, and the same one every time.
func TestOrderHoldsWhileSlotsMove(t *testing.T) {
	seeds := uint64(80)
	if testing.Short() && seeds > 10 {
		seeds = 10
	}
	var sum orderCounts
	for seed := range seeds {
		w := newOrderWorld(t, seed)
		for range 300 {
			w.step()
		}
		w.settle()
		sum.add(w.orderCounts)
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%+v", sum)
	if sum.Executed < 500 || sum.Downs < 20 || sum.Moved < 300 || sum.Asked < 100 {
		t.Errorf("too little has happened: %+v", sum)
	}
}

type orderCounts struct{ Executed, Moved, Asked, Downs, Left int }

func (o *orderCounts) add(p orderCounts) {
	o.Executed += p.Executed
	o.Moved += p.Moved
	o.Asked += p.Asked
	o.Downs += p.Downs
}

// orderWorld is a cluster whose servers are played by the test.
type orderWorld struct {
	orderCounts
	t         *testing.T
	r         *rand.Rand
	c         *cluster
	nodes     []*node             // whose actors are played
	wires     map[*node][]Command // sent and not yet answered
	downs     map[*node]bool      // cannot be reached
	owner     map[string]string   // of a key's slot: the truth
	truth     *slots.Map
	importing map[string]string            // of a key's slot: where it is moving to
	memory    map[string]map[string]string // of a server: key to token
	tokens    int
	later     []*Release // to be posted
}

var orderKeys = []string{"k1", "k2", "k3"}

func newOrderWorld(t *testing.T, seed uint64) *orderWorld {
	w := &orderWorld{
		t: t, r: rand.New(rand.NewPCG(seed, seed)), c: newTestCluster(t),
		wires: make(map[*node][]Command), downs: make(map[*node]bool),
		owner: make(map[string]string), importing: make(map[string]string), memory: make(map[string]map[string]string),
	}
	w.c.set.guard = GuardOff
	last := orderAddr(3)
	w.truth = testView(func(int) string { return last })
	start := w.c.start
	w.c.start = func(n *node) {
		start(n)
		w.nodes = append(w.nodes, n)
	}
	for k, key := range orderKeys {
		w.owner[key] = orderAddr(k)
	}
	for k := range 4 {
		w.memory[orderAddr(k)] = make(map[string]string)
	}
	return w
}

func orderAddr(k int) string { return string(rune('a'+k)) + ":1" }

func (w *orderWorld) step() {
	key := orderKeys[w.r.IntN(len(orderKeys))]
	switch w.r.IntN(16) {
	case 0, 1, 2:
		w.post(key)
	case 3, 4, 5:
		w.release()
	case 6, 7, 8, 9, 10, 11:
		if n := w.anyNode(); n != nil {
			w.work(n)
		}
	case 12: // a slot begins to move, or ends it
		if to := w.importing[key]; to != "" {
			w.finish(key, to)
		} else if to = orderAddr(w.r.IntN(4)); to != w.owner[key] && !w.asking(key) {
			w.importing[key] = to
		}
	case 13: // a key moves
		w.migrate(key)
	case 14:
		w.look()
	case 15:
		if n := w.anyNode(); n != nil && w.r.IntN(3) == 0 {
			w.toggle(n)
		}
	}
}

// post posts an acquire, whose release is posted some time later.
func (w *orderWorld) post(key string) {
	w.tokens++
	a := &Acquire{Key: key, Token: fmt.Sprint("t", w.tokens), TTL: time.Hour, GiveUp: time.Now().Add(time.Hour), To: nobody{}}
	r := &Release{Key: key, Token: a.Token, TTL: time.Hour, To: nobody{}}
	if w.r.IntN(2) == 0 {
		r.Undo = a
	}
	w.later = append(w.later, r)
	w.c.whole.Post(a)
}

func (w *orderWorld) release() {
	if len(w.later) > 0 {
		k := w.r.IntN(len(w.later))
		w.c.whole.Post(w.later[k])
		w.later = slices.Delete(w.later, k, k+1)
	}
}

func (w *orderWorld) anyNode() *node {
	if len(w.nodes) == 0 {
		return nil
	}
	return w.nodes[w.r.IntN(len(w.nodes))]
}

// work is a little of what a node's actor does: it sends what waits, and settles
// some of what was sent.
func (w *orderWorld) work(n *node) {
	first := slices.IndexFunc(w.nodes, func(first *node) bool { return first.addr == n.addr })
	if w.downs[n] || first < 0 || n != w.nodes[first] {
		return // unreachable, or over, or waiting for the end of the node that was there before
	}
	s := &sending{actor: n.actor, now: time.Now()}
	for _, m := range n.mailbox.drain() {
		if _, sent := m.appendCommand(s, nil); sent {
			w.wires[n] = append(w.wires[n], m)
		}
	}
	for some := w.r.IntN(4); some > 0 && len(w.wires[n]) > 0; some-- {
		m := w.wires[n][0]
		w.wires[n] = w.wires[n][1:]
		w.reply(n, m, s)
	}
	if n.mailbox.isClosed() && len(w.wires[n]) == 0 && n.mailbox.depth() == 0 {
		w.c.inherit(n)
		w.nodes = slices.DeleteFunc(w.nodes, func(other *node) bool { return other == n })
	}
}

func (w *orderWorld) reply(n *node, m Command, s *sending) {
	if b, ok := m.(*barrier); ok {
		b.readReply(s, nil)
		return
	}
	refer := w.execute(n.addr, m)
	if refer == "" {
		n.role.answeredHere(m)
		return
	}
	if r := (&resp.Reply{Kind: resp.Error, Text: []byte(refer)}); !n.role.refer(m, s, r) {
		n.actor.refused(m, s.refusal(r.Err()))
	}
}

// execute is the server's part: what it says instead, or "" if it does it.
func (w *orderWorld) execute(addr string, m Command) (refer string) {
	key, _ := original(m).(keyed).about()
	r, _ := m.(*routed)
	_, here := w.memory[addr][key]
	switch to := w.importing[key]; {
	case addr == w.owner[key] && to != "" && !here:
		w.Asked++
		return fmt.Sprintf("ASK %d %s", slots.Of(key), to)
	case addr == w.owner[key], addr == to && r != nil && r.asking:
	default:
		w.Moved++
		return fmt.Sprintf("MOVED %d %s", slots.Of(key), w.owner[key])
	}
	w.Executed++
	switch m := original(m).(type) {
	case *Acquire:
		if !here {
			w.memory[addr][key] = m.Token
		}
	case *Release:
		if w.memory[addr][key] == m.Token {
			delete(w.memory[addr], key)
		}
	}
	return ""
}

// asking reports whether a message still waits that was told ASK. It does not wait
// longer than an instance's timeout, which is no time for a slot to come back and
// be moved once more.
func (w *orderWorld) asking(key string) bool {
	for _, n := range w.nodes {
		n.mailbox.mu.Lock()
		waiting := slices.Concat(w.wires[n], n.mailbox.queue)
		n.mailbox.mu.Unlock()
		for _, m := range waiting {
			if r, ok := m.(*routed); ok && r.asking && r.slot == slots.Of(key) {
				return true
			}
		}
	}
	return false
}

func (w *orderWorld) migrate(key string) {
	from, to := w.memory[w.owner[key]], w.importing[key]
	if token, ok := from[key]; ok && to != "" {
		w.memory[to][key] = token
		delete(from, key)
	}
}

func (w *orderWorld) finish(key, to string) {
	w.migrate(key)
	w.owner[key] = to
	delete(w.importing, key)
}

// look takes a map over, which may be out of date.
func (w *orderWorld) look() {
	v := w.view()
	for _, key := range orderKeys {
		if w.r.IntN(8) == 0 {
			v[slots.Of(key)] = orderAddr(w.r.IntN(4))
		}
	}
	w.c.apply(v, nil)
	w.c.rehome()
}

// view is the truth: the last server serves what is nobody's else, so that it is
// always there. It is good until the next call.
func (w *orderWorld) view() *slots.Map {
	for _, key := range orderKeys {
		w.truth[slots.Of(key)] = w.owner[key]
	}
	return w.truth
}

// toggle cuts a node off from us, or brings it back. What was on its way has been
// executed or has not, and never will be: its connection is killed.
func (w *orderWorld) toggle(n *node) {
	if w.downs[n] {
		w.up(n)
		return
	}
	if n.mailbox.isClosed() {
		return
	}
	w.Downs++
	w.downs[n] = true
	v := Vote{Kind: TimedOut, Err: fault.ErrTimeout}
	wire := w.wires[n]
	w.wires[n] = nil
	heard := w.r.IntN(len(wire) + 1)
	for _, m := range wire[:heard] {
		if _, ok := m.(*barrier); !ok {
			w.execute(n.addr, m)
		}
	}
	n.actor.down(v, wire...)
}

func (w *orderWorld) up(n *node) {
	delete(w.downs, n)
	n.become(Up, nil)
	for owed := n.mailbox.takeDebts(); len(owed) > 0; owed = n.mailbox.takeDebts() {
		var unpaid []debt
		for _, d := range owed {
			refer := w.execute(n.addr, d.release())
			if refer != "" && !n.role.referDebt(d, &resp.Reply{Kind: resp.Error, Text: []byte(refer)}) {
				unpaid = append(unpaid, d)
			}
		}
		if len(unpaid) > 0 { // paid later, in passing
			n.mailbox.mu.Lock()
			n.mailbox.refusal = nil
			n.mailbox.mu.Unlock()
			n.mailbox.oweAgain(unpaid)
			return
		}
	}
}

// settle lets everything come to its end.
func (w *orderWorld) settle() {
	for _, key := range orderKeys {
		if to := w.importing[key]; to != "" {
			w.finish(key, to)
		}
	}
	for round := 0; ; round++ {
		for len(w.later) > 0 {
			w.release()
		}
		w.c.apply(w.view(), nil)
		w.c.rehome()
		busy := len(w.c.moves)
		for _, n := range slices.Clone(w.nodes) {
			if w.downs[n] {
				w.up(n)
			}
			for range 50 {
				w.work(n)
			}
			if owed := n.mailbox.disown(func(string) bool { return true }); len(owed) > 0 {
				for _, d := range owed {
					w.c.postDebt(d)
				}
			}
			busy += len(w.wires[n]) + n.mailbox.depth()
		}
		if busy == 0 && round > 20 {
			break
		}
		if round > 1000 {
			w.t.Fatalf("it does not come to rest: %d moves, %d busy", len(w.c.moves), busy)
		}
	}
	for addr, locks := range w.memory {
		for key, token := range locks {
			w.t.Errorf("%s at %s is still held by %s", key, addr, token)
		}
	}
}
