//go:build linux

package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// span is what a history says of one lease: it was valid from From to To at least.
type span struct {
	resource string
	client   string
	fence    uint64
	call     int64
	from, to int64
}

func (s span) String() string {
	return fmt.Sprintf("%s: valid in %s from %d to %d, fence %d", s.resource, s.client, s.from, s.to, s.fence)
}

// spans makes them of all clients' events. A lease whose client was killed was
// valid until the deadline that it last knew, for all that anybody can tell.
func spans(events []event) []span {
	type id struct {
		client string
		lease  int
	}
	open := make(map[id]*span)
	deadline := make(map[id]int64)
	var all []*span
	for _, e := range events {
		key := id{e.Client, e.Lease}
		switch s := open[key]; {
		case e.Kind == acquired:
			s = &span{e.Resource, e.Client, e.Fence, e.Call, e.At, e.At}
			open[key], deadline[key] = s, e.Until
			all = append(all, s)
		case e.Kind == held:
			s.to, deadline[key] = e.At, e.Until
		case e.Kind == ended:
			delete(open, key)
		}
	}
	for key, s := range open {
		s.to = max(s.to, deadline[key])
	}
	done := make([]span, len(all))
	for k, s := range all {
		done[k] = *s
	}
	return done
}

// byResource groups spans, in the order of their beginnings.
func byResource(spans []span) map[string][]span {
	groups := make(map[string][]span)
	for _, s := range spans {
		groups[s.resource] = append(groups[s.resource], s)
	}
	for _, group := range groups {
		slices.SortFunc(group, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	}
	return groups
}

// checkExclusion: no two leases of a resource were valid at a time.
func checkExclusion(spans []span) (faults []string) {
	for _, group := range byResource(spans) {
		latest := group[0]
		for _, s := range group[1:] {
			if s.from < latest.to {
				faults = append(faults, fmt.Sprintf("two holders: %v; %v", latest, s))
			}
			if s.to > latest.to {
				latest = s
			}
		}
	}
	return faults
}

// checkFenceOrder: an acquire that completed later has the higher fence.
func checkFenceOrder(spans []span) (faults []string) {
	for _, group := range byResource(spans) {
		for k := 1; k < len(group); k++ {
			if a, b := group[k-1], group[k]; a.fence != 0 && b.fence <= a.fence {
				faults = append(faults, fmt.Sprintf("fences do not rise: %v; %v", a, b))
			}
		}
	}
	return faults
}

// checkFences: fences are unique, and an acquire that began when another had completed has
// the higher one. It needs no assumption on mutual exclusion.
func checkFences(spans []span) (faults []string) {
	for _, group := range byResource(spans) {
		if group[0].fence == 0 {
			continue
		}
		seen := make(map[uint64]span)
		for _, s := range group {
			if other, twice := seen[s.fence]; twice {
				faults = append(faults, fmt.Sprintf("one fence for two: %v; %v", other, s))
			}
			seen[s.fence] = s
		}
		asked := slices.Clone(group)
		slices.SortFunc(asked, func(a, b span) int { return cmp.Compare(a.call, b.call) })
		var highest span
		done := 0
		for _, s := range asked {
			for ; done < len(group) && group[done].from < s.call; done++ {
				if group[done].fence > highest.fence {
					highest = group[done]
				}
			}
			if s.fence <= highest.fence {
				faults = append(faults, fmt.Sprintf("a lower fence for who began later: %v; %v", highest, s))
			}
		}
	}
	return faults
}

// checkHonesty: no lease said that it was valid past its deadline, and the keys
// of those that were looked at were on a majority.
func checkHonesty(events []event) (faults []string) {
	for _, e := range events {
		switch {
		case e.Kind == held && e.At > e.Until:
			faults = append(faults, fmt.Sprintf("valid %v past the deadline: %s in %s", time.Duration(e.At-e.Until), e.Resource, e.Client))
		case e.Kind == sampled && !e.OK:
			faults = append(faults, fmt.Sprintf("valid without a majority of keys: %s in %s: %s", e.Resource, e.Client, e.Text))
		}
	}
	return faults
}

// checkEnd: no client was starved, and none left anything.
func checkEnd(events []event) (faults []string) {
	for _, e := range events {
		if e.Kind == starved || e.Kind == leaked {
			faults = append(faults, fmt.Sprintf("%s %s %s: %s", e.Client, e.Kind, e.Resource, e.Text))
		}
	}
	return faults
}
