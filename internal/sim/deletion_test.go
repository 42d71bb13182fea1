package sim_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// DELIFEQ and DELEX reply here as they do on servers that have them, of which one may be at hand.
func TestDeletionsReplyAsOnRealServers(t *testing.T) {
	server := redistest.Start(t)
	for name, steps := range map[string][]struct{ send, want string }{
		"DELIFEQ": {
			{"SET k v", "OK"},
			{"DELIFEQ", "ERR wrong number of arguments for 'delifeq' command"},
			{"DELIFEQ k", "ERR wrong number of arguments for 'delifeq' command"},
			{"DELIFEQ k w", "0"},
			{"DELIFEQ k v2", "0"},
			{"DELIFEQ k v", "1"},
			{"DELIFEQ k v", "0"},
		},
		"DELEX": {
			{"SET k v", "OK"},
			{"DELEX", "ERR wrong number of arguments for 'delex' command"},
			{"DELEX k IFEQ w", "0"},
			{"DELEX k ifeq v2", "0"},
			{"DELEX k IFEQ v", "1"},
			{"DELEX k IFEQ v", "0"},
			{"SET k v", "OK"},
			{"DELEX k", "1"},
			{"DELEX k", "0"},
		},
	} {
		simulated := sim.NewNative(t, 1).Servers[0]
		simulated.HasDeletion(name, true)
		conn, err := simulated.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		r := &respondent{name: "native", conn: conn, in: bufio.NewReader(conn), text: true}
		for _, step := range steps {
			args := strings.Fields(step.send)
			if got := strings.TrimLeft(fmt.Sprint(r.ask(t, args)), "+-"); got != step.want {
				t.Errorf("%s: got %s, want %s", step.send, got, step.want)
			}
			if !server.Knows(name) {
				continue
			}
			reply, err := server.Do(args...)
			if err != nil {
				reply = err
			}
			if got := fmt.Sprint(reply); got != step.want {
				t.Errorf("%s: the real server says %s, want %s", step.send, got, step.want)
			}
		}
		_ = conn.Close()
	}
}
