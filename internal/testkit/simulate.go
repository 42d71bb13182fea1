package testkit

import (
	"os"
	"testing"
	"testing/synctest"
)

// Simulate runs a test in a bubble of simulated time, as synctest.Test does. No real server can be in there: so it is left out where
// HOLDFAST_TEST_SERVER names the servers that are to be tested.
func Simulate(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if list := os.Getenv("HOLDFAST_TEST_SERVER"); list != "" {
		t.Skip("simulated: it would say nothing of ", list)
	}
	synctest.Test(t, test)
}
