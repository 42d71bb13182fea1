//go:build linux

package chaos

import (
	"os"
	"path/filepath"
	"testing"
)

// What a checker is to find. Times are small numbers here; leases are valid
// from At of acquired to At of the last held.
func lease(client string, n int, fence uint64, call, from, to int64) []event {
	return []event{
		{Kind: acquired, Client: client, Lease: n, Resource: "r", Fence: fence, Call: call, At: from, Until: to + 100},
		{Kind: held, Client: client, Lease: n, At: to, Until: to + 100},
		{Kind: ended, Client: client, Lease: n, At: to},
	}
}

func puts(client string, fence uint64, value, before string, ok bool, call, at int64) []event {
	return []event{
		{Kind: writing, Client: client, Resource: "r", Fence: fence, Value: value, At: call},
		{Kind: written, Client: client, Resource: "r", Fence: fence, Value: value, Before: before, OK: ok, At: at},
	}
}

func history(parts ...[]event) (all []event) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// Every checker passes the good history and finds its own fault in the bad ones.
func TestCheckersFindWhatIsWrong(t *testing.T) {
	overSpans := func(check func([]span) []string) func([]event) []string {
		return func(events []event) []string { return check(spans(events)) }
	}
	overtaken := func(events []event) []string { return checkOvertaken(events, spans(events)) }
	checkers := map[string]func([]event) []string{
		"exclusion": overSpans(checkExclusion), "fence order": overSpans(checkFenceOrder), "fences": overSpans(checkFences),
		"honesty": checkHonesty, "end": checkEnd, "register": checkRegister, "overtaken": overtaken,
	}
	good := history(
		lease("a", 1, 7, 1, 2, 10), lease("b", 1, 9, 3, 11, 20), // b asked while a held
		puts("a", 7, "x", "", true, 3, 4), puts("b", 9, "y", "x", true, 12, 13), puts("a", 7, "z", "y", false, 14, 15),
		[]event{{Kind: writing, Client: "b", Resource: "r", Fence: 9, Value: "unanswered", At: 16}},
		[]event{{Kind: sampled, OK: true}},
	)
	for name, check := range checkers {
		if faults := check(good); len(faults) != 0 {
			t.Errorf("%s: a good history: %v", name, faults)
		}
	}
	for what, bad := range map[string]struct {
		checker string
		events  []event
	}{
		"two holders, one inside the other": {"exclusion", history(lease("a", 1, 0, 1, 2, 20), lease("b", 1, 0, 3, 4, 5))},
		"two holders, with one between":     {"exclusion", history(lease("a", 1, 0, 1, 2, 20), lease("b", 1, 0, 3, 4, 5), lease("c", 1, 0, 3, 18, 19))},
		"a killed holder is a holder":       {"exclusion", history(lease("a", 1, 0, 1, 2, 20)[:1], lease("b", 1, 0, 3, 21, 22))},
		"an equal fence in order":           {"fence order", history(lease("a", 1, 7, 1, 2, 3), lease("b", 1, 7, 4, 5, 6))},
		"a falling fence in order":          {"fence order", history(lease("a", 1, 7, 1, 2, 3), lease("b", 1, 6, 4, 5, 6))},
		"an equal fence":                    {"fences", history(lease("a", 1, 7, 1, 9, 10), lease("b", 1, 7, 1, 9, 10))},
		"a falling fence":                   {"fences", history(lease("a", 1, 7, 1, 2, 3), lease("c", 1, 8, 1, 30, 31), lease("b", 1, 6, 4, 5, 6))},
		"valid past the deadline":           {"honesty", []event{{Kind: held, At: 2, Until: 1}}},
		"valid without keys":                {"honesty", []event{{Kind: sampled}}},
		"starved":                           {"end", []event{{Kind: starved}}},
		"leaked":                            {"end", []event{{Kind: leaked}}},
		"a lower fence accepted":            {"register", history(puts("b", 9, "y", "", true, 1, 2), puts("a", 7, "x", "y", true, 3, 4))},
		"a write that was lost":             {"register", history(puts("a", 7, "x", "", true, 1, 2), puts("b", 9, "y", "", true, 3, 4))},
		"a late write accepted": {"overtaken", history(
			lease("a", 1, 9, 1, 2, 10), lease("b", 1, 7, 11, 12, 20),
			puts("b", 7, "y", "", true, 13, 14), puts("a", 9, "x", "y", true, 15, 16))},
	} {
		if faults := checkers[bad.checker](bad.events); len(faults) == 0 {
			t.Errorf("%s: not found by %s", what, bad.checker)
		}
	}
}

// A history survives its writer: what was added is there, but for a line that was
// broken off.
func TestAHistoryIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := &recorder{client: "c", file: file}
	r.add(event{Kind: acquired, Lease: 1, Resource: "r", Fence: 1<<53 - 1, At: now()})
	r.add(event{Kind: ended, Lease: 1, At: now()})
	if _, err := file.WriteString(`{"Kind":"acq`); err != nil {
		t.Fatal(err)
	}
	events, err := readHistory(path)
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events: %v", len(events), err)
	}
	if e := events[0]; e.Client != "c" || e.Fence != 1<<53-1 || events[1].At < e.At {
		t.Errorf("%+v", events)
	}
}
