package slots

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Map is one node's word on who serves the slots: addresses, "" for nobody.
type Map [Count]string

var errNoSlots = errors.New("the cluster serves no slots yet")

// Masters are the addresses of those that serve slots.
func (v *Map) Masters() []string {
	addrs := slices.DeleteFunc(slices.Sorted(slices.Values(v[:])), func(addr string) bool { return addr == "" || reach.CheckAddr(addr) != nil })
	return slices.Compact(addrs)
}

// Scout is a connection to one of the cluster's nodes, which is asked for the map,
// and stays until that node fails us, or the slots are not covered: then another
// one is asked, which may know better.
type Scout struct {
	timeout time.Duration
	options func(addr string) *redis.Options
	dial    reach.DialFunc

	*reach.Pinned
	addr  string // of the node that we are connected to
	asked int    // which of the addresses, by number
}

// NewScout makes a scout, which has timeout for a map.
func NewScout(timeout time.Duration, options func(addr string) *redis.Options, dial reach.DialFunc) *Scout {
	return &Scout{timeout: timeout, options: options, dial: dial}
}

// Map asks one node after the other, until one answers or ctx ends. covered says whether
// all that the last map had goes well.
func (s *Scout) Map(ctx context.Context, addrs []string, covered bool) (*Map, error) {
	if s.Pinned != nil && !covered {
		s.Close()
		s.asked++
	}
	failed := new(reach.Failures)
	for range addrs {
		v, err := s.ask(ctx, addrs[s.asked%len(addrs)])
		if err == nil {
			return v, nil
		}
		s.Close()
		s.asked++
		failed.Add("node "+s.addr, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// ask asks the node that we are connected to, or else the one at addr. It takes
// half of the time that there is at most, so that one that hangs is not all that
// is asked.
func (s *Scout) ask(ctx context.Context, addr string) (*Map, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout/2)
	defer cancel()
	if s.Pinned == nil {
		s.addr = addr
		conn, err := s.dial(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		s.Pinned = reach.Pin(conn, s.options(addr), s.timeout)
	}
	cmd := redis.NewSliceCmd(ctx, "cluster", "slots") // as it is: go-redis's own cannot read a node without a host
	if err := s.Process(ctx, cmd); err != nil {
		if strings.Contains(err.Error(), "cluster support disabled") {
			err = resp.ServerError(err.Error() + " (it is no node of a cluster: write redis://… for a single server)")
		}
		return nil, err
	}
	return readMap(cmd.Val(), s.addr)
}

// Word is what a node says of itself.
type Word struct {
	RunID  string // "": it says nothing, or is no master
	Paused string // why it carries out no writes; "": it does, or does not say
	Map    *Map   // who serves the slots, as it sees it
}

// Hear asks the node at addr for its word.
func (s *Scout) Hear(ctx context.Context, addr string) (w Word, err error) {
	if w.Map, err = s.ask(ctx, addr); err != nil {
		return Word{}, err
	}
	var sections [3]string
	for i, name := range [...]string{"server", "replication", "clients"} {
		cmd := redis.NewStringCmd(ctx, "info", name)
		if err := s.Process(ctx, cmd); err != nil {
			return Word{}, err
		}
		sections[i] = cmd.Val()
	}
	if seen, err := reach.ReadInfo(sections[0], sections[1]); err == nil {
		w.RunID = seen.RunID
	}
	w.Paused = reach.ReadPause(sections[2])
	return w, nil
}

func (s *Scout) Close() {
	if s.Pinned != nil {
		s.Pinned.Close()
		s.Pinned = nil
	}
}

// readMap reads what the node at addr says: the first node of a range is its
// master. Each range is a list of the first slot, the last, and the nodes, and a node
// begins with its host and port.
func readMap(ranges []any, addr string) (*Map, error) {
	v := new(Map)
	if len(ranges) == 0 {
		return nil, errNoSlots
	}
	for _, r := range ranges {
		first, last, node, ok := readRange(r)
		if !ok {
			return nil, resp.ErrNotRedis
		}
		master := Neighbour(addr, node)
		for slot := first; slot <= last; slot++ {
			v[slot] = master
		}
	}
	return v, nil
}

// readRange reads a range of slots and the address of its master. A host that is NULL,
// which is that of the node that was asked (cluster-preferred-endpoint-type
// unknown-endpoint), is left empty.
func readRange(r any) (first, last int64, addr string, ok bool) {
	parts, _ := r.([]any)
	if len(parts) < 3 {
		return 0, 0, "", false
	}
	first, isFirst := parts[0].(int64)
	last, isLast := parts[1].(int64)
	node, _ := parts[2].([]any)
	if !isFirst || !isLast || first < 0 || last >= Count || first > last || len(node) < 2 {
		return 0, 0, "", false
	}
	host, isText := node[0].(string)
	port, isPort := node[1].(int64)
	if !isPort || !isText && node[0] != nil {
		return 0, 0, "", false
	}
	return first, last, net.JoinHostPort(host, strconv.FormatInt(port, 10)), true
}
