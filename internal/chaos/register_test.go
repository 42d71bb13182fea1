//go:build linux

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"
)

// registerScript is a register that accepts what has no lower fence than all it
// has accepted: what guarantees.md asks of a resource. It replies whether it did,
// and what was there before.
const registerScript = `
local fence, before = redis.call('HGET', KEYS[1], 'fence'), redis.call('HGET', KEYS[1], 'value')
if fence and tonumber(ARGV[1]) < tonumber(fence) then
  return {0, before}
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'value', ARGV[2])
return {1, before or ''}`

// put writes to the register.
func put(ctx context.Context, register *redis.Client, resource string, fence uint64, value string) (ok bool, before string, err error) {
	reply, err := register.Eval(ctx, registerScript, []string{resource}, fence, value).Slice()
	if err != nil {
		return false, "", err
	}
	before, _ = reply[1].(string)
	return reply[0] == int64(1), before, nil
}

// The register's history, as porcupine sees it.
type (
	registerState struct {
		fence uint64
		value string
	}
	registerWrite struct {
		resource string
		client   string
		lease    int
		fence    uint64
		value    string
	}
	registerAnswer struct {
		known  bool // false: its client was killed before the answer came
		ok     bool
		before string
	}
)

var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[string][]porcupine.Operation)
		for _, op := range history {
			name := op.Input.(registerWrite).resource
			parts[name] = append(parts[name], op)
		}
		var all [][]porcupine.Operation
		for _, part := range parts {
			all = append(all, part)
		}
		return all
	},
	Init: func() any { return registerState{} },
	Step: func(state, input, output any) (bool, any) {
		s, w, a := state.(registerState), input.(registerWrite), output.(registerAnswer)
		accepts := w.fence >= s.fence
		legal := !a.known || a.ok == accepts && a.before == s.value
		if accepts {
			s = registerState{w.fence, w.value}
		}
		return legal, s
	},
}

// writes pairs questions and answers.
func writes(events []event) []porcupine.Operation {
	open := make(map[string]int) // by value
	var ops []porcupine.Operation
	for _, e := range events {
		switch e.Kind {
		case writing:
			open[e.Value] = len(ops)
			ops = append(ops, porcupine.Operation{
				Input: registerWrite{e.Resource, e.Client, e.Lease, e.Fence, e.Value}, Call: e.At,
				Output: registerAnswer{}, Return: math.MaxInt64,
			})
		case written:
			op := &ops[open[e.Value]]
			op.Output, op.Return = registerAnswer{true, e.OK, e.Before}, e.At
		}
	}
	return ops
}

// checkRegister: what the writers saw is explained by such a register.
func checkRegister(events []event) (faults []string) {
	if r := porcupine.CheckOperationsTimeout(registerModel, writes(events), time.Minute); r != porcupine.Ok {
		faults = append(faults, fmt.Sprintf("the register's history is not linearizable: porcupine says %v", r))
	}
	return faults
}

// checkOvertaken: no holder writes once another has written that began to acquire
// when the first had already been granted. It asks nothing of the fences but
// what they are for.
func checkOvertaken(events []event, spans []span) (faults []string) {
	granted := make(map[uint64]span)
	for _, s := range spans {
		granted[s.fence] = s
	}
	parts := registerModel.Partition(writes(events))
	for _, part := range parts {
		part = slices.DeleteFunc(part, func(op porcupine.Operation) bool { return !op.Output.(registerAnswer).ok })
		answered := slices.Clone(part)
		slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		slices.SortFunc(answered, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		var last span // of the holders whose write has been answered, the one that began last
		done := 0
		for _, op := range part {
			for ; done < len(answered) && answered[done].Return < op.Call; done++ {
				if s := granted[answered[done].Input.(registerWrite).fence]; s.call > last.call {
					last = s
				}
			}
			if s := granted[op.Input.(registerWrite).fence]; s.from < last.call {
				faults = append(faults, fmt.Sprintf("a write of who was overtaken: %v; by %v", s, last))
			}
		}
	}
	return faults
}
