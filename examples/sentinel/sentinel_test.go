package main

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestWithoutSentinelsItSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	if stdout := program.Start(t, "").Ends(); stdout != usage {
		t.Errorf("it said %q", stdout)
	}
	_, stderr, exit := program.Run(t, "redis://localhost")
	if exit != 1 || stderr != "sentinel: HOLDFAST_REDIS names no sentinels: redis-sentinel://HOST?master=NAME\n" {
		t.Errorf("exit %d, and on standard error: %s", exit, stderr)
	}
}

func TestTheLeaseGoesOnAfterAFailover(t *testing.T) {
	t.Parallel()
	f := redistest.StartFleet(t, redistest.FleetConfig{Password: "pa55w0rd"})
	p := program.Start(t, "redis-sentinel://:pa55w0rd@"+strings.Join(f.SentinelAddrs(), ",")+"/0?master=leader")
	p.Await(`the report is locked\n.* is up\n`)
	f.Failover()
	p.Await(`(?s)is quarantined: it was promoted, or restarted, and grants no new locks for 1\ds\n.*the lease was renewed after that, and goes on\n`)
	p.Interrupt()
	if stdout := p.Ends(); strings.Contains(stdout, "pa55w0rd") {
		t.Errorf("it shows the password: %s", stdout)
	}
	if keys := f.Master.Keys(); len(keys) != 0 {
		t.Errorf("it has left %q", keys)
	}
}
