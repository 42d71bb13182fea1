package model

import "fmt"

// Promise says what must happen at last: that nothing for which Waits holds does so for ever.
//
// A run is a fair one when every step for which Fair holds is taken again and again, if it can be taken again and again.
// All other steps may be taken, and need not. A run ends only where no fair step can be taken.
type Promise[S comparable] struct {
	Waits func(S) bool
	Fair  func(Step) bool
}

// CheckLive visits all states of the model, and looks for a fair run that comes to a state from which on the
// promise waits for ever: where the run ends, or goes round in a circle. Canon must be nil.
func CheckLive[S comparable](m Model[S], p Promise[S], limit int) Result {
	g := explore(m, limit)
	r := Result{States: len(g.states.all), Steps: g.steps, Depth: g.depth, Complete: g.complete}
	waiting := make([]bool, len(g.states.all))
	var all []uint32
	for at, s := range g.states.all {
		if waiting[at] = p.Waits(s); waiting[at] {
			all = append(all, uint32(at))
		}
	}
	for _, at := range all {
		ends := true
		for _, e := range g.edges[at] {
			ends = ends && !p.Fair(e.step)
		}
		if ends {
			return g.blame(r, m, at, "it ends there, and waits for ever")
		}
	}
	if circle := g.fairCircle(all, p.Fair); circle != nil {
		first := circle[0]
		for _, at := range circle {
			first = min(first, at)
		}
		return g.blame(r, m, first, fmt.Sprintf("from there on it goes round, through %d states, and waits for ever", len(circle)))
	}
	return r
}

type edge struct {
	step Step
	to   uint32
}

type graph[S comparable] struct {
	states   *set[S]
	parents  []uint32
	edges    [][]edge
	steps    int
	depth    int
	complete bool
}

func explore[S comparable](m Model[S], limit int) *graph[S] {
	g := &graph[S]{states: newSet[S](), parents: []uint32{0}, complete: true}
	g.states.add(m.Start)
	for at, layer := 0, 1; at < len(g.states.all); at++ {
		if at == layer {
			g.depth++
			layer = len(g.states.all)
		}
		var edges []edge
		m.Next(g.states.all[at], func(step Step, next S) {
			g.steps++
			if len(g.states.all) == limit {
				g.complete = false
				return
			}
			if g.states.add(next) {
				g.parents = append(g.parents, uint32(at))
			}
			edges = append(edges, edge{step, g.states.slots[g.states.find(next)] - 1})
		})
		g.edges = append(g.edges, edges)
	}
	return g
}

// blame tells the way to a state.
func (g *graph[S]) blame(r Result, m Model[S], at uint32, what string) Result {
	m.Canon = func(s S) S { return s }
	m.Wrong = func(S) string { return what }
	r.Trace, r.Wrong = m.retrace(g.states.all, g.parents, int(at))
	return r
}

// fairCircle returns states within the given ones through all of which a fair run can go round for ever, or nil.
// A circle where a step can be taken that leads out of it, and no such step within, is fair only without the
// states where it can be taken.
func (g *graph[S]) fairCircle(within []uint32, fair func(Step) bool) []uint32 {
	for _, circle := range g.circles(within) {
		in := make(map[uint32]bool, len(circle))
		for _, at := range circle {
			in[at] = true
		}
		taken, possible := make(map[Step]bool), make(map[Step]bool)
		for _, at := range circle {
			for _, e := range g.edges[at] {
				if fair(e.step) {
					possible[e.step] = true
					taken[e.step] = taken[e.step] || in[e.to]
				}
			}
		}
		var rest []uint32
		for _, at := range circle {
			leads := false
			for _, e := range g.edges[at] {
				leads = leads || possible[e.step] && !taken[e.step]
			}
			if !leads {
				rest = append(rest, at)
			}
		}
		if len(rest) == len(circle) {
			return circle
		}
		if found := g.fairCircle(rest, fair); found != nil {
			return found
		}
	}
	return nil
}

// circles are the largest sets of states, within the given ones, each of which can be reached from each of its set in one
// step or more (Tarjan's algorithm, with a stack of its own).
func (g *graph[S]) circles(within []uint32) (all [][]uint32) {
	const outside, unseen = -1, 0
	number := make([]int32, len(g.states.all)) // in the order of being seen; outside of the set, or in a set already
	for at := range number {
		number[at] = outside
	}
	for _, at := range within {
		number[at] = unseen
	}
	lowest := make([]int32, len(number))
	type visit struct {
		at   uint32
		next int
	}
	var seen int32
	var open []uint32
	for _, root := range within {
		if number[root] != unseen {
			continue
		}
		path := []visit{{at: root}}
		for len(path) > 0 {
			v := &path[len(path)-1]
			if v.next == 0 {
				seen++
				number[v.at], lowest[v.at] = seen, seen
				open = append(open, v.at)
			}
			if v.next < len(g.edges[v.at]) {
				to := g.edges[v.at][v.next].to
				v.next++
				switch {
				case number[to] == outside:
				case number[to] == unseen:
					path = append(path, visit{at: to})
				default:
					lowest[v.at] = min(lowest[v.at], number[to])
				}
				continue
			}
			at := v.at
			path = path[:len(path)-1]
			if len(path) > 0 {
				back := path[len(path)-1].at
				lowest[back] = min(lowest[back], lowest[at])
			}
			if lowest[at] != number[at] {
				continue
			}
			var circle []uint32
			for number[at] != outside {
				last := open[len(open)-1]
				open = open[:len(open)-1]
				number[last] = outside
				circle = append(circle, last)
			}
			if len(circle) > 1 || g.hasLoop(at) {
				all = append(all, circle)
			}
		}
	}
	return all
}

func (g *graph[S]) hasLoop(at uint32) bool {
	for _, e := range g.edges[at] {
		if e.to == at {
			return true
		}
	}
	return false
}
